"""The command line that repeats a run: its configuration, without what is the default anyway."""

from __future__ import annotations

import dataclasses
import shlex

from harness.config import RunConfig, knobs
from harness.record import RunRecord

_ALWAYS = ("dataset", "epochs")


def run_command(config: RunConfig) -> str:
    """Return the `bench run` line for a configuration; fields at their default are left out."""
    default = RunConfig().to_json()
    words = ["bench", "run"]
    for name, value in config.to_json().items():
        # What these default to depends on the data set and on who runs it.
        if (value != default[name] or name in _ALWAYS) and value is not None:
            words += option_words(name, value)
    return shlex.join(words)


def repeat_command(record: RunRecord) -> str:
    """Return the line that repeats a run on the data it really saw.

    `auto` may choose other data tomorrow or elsewhere, so the source that it chose is named.
    """
    config = record.config
    if config.dataset == "auto" and record.data is not None:
        config = dataclasses.replace(config, dataset=record.data.source)
    if not config.evaluate_test and record.value("test_score") is not None:
        config = dataclasses.replace(config, evaluate_test=True)
    line = run_command(config)
    if record.targets:
        words = [word for target in record.targets for word in ("--target", target)]
        line += f" {shlex.join(words)}"
    return f"{line} --stop-at-target" if record.stopped_at_target else line


def option_words(name: str, value: str | float) -> list[str]:
    """Return the words of a command line that set a field to a value."""
    on_off = knobs()[name].on_off
    if on_off is not None:
        on, off = on_off.split("/")
        return [f"--{on if value else off}"]
    return [f"--{name.replace('_', '-')}", str(value)]
