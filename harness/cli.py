"""`bench`: the commands and what they accept, those of `harness.cmd_*_commands` included.

The only door to the program.

Nothing slow is imported here: each command checks names and ranges, then imports the module
that does the work.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import click

from harness import __version__
from harness.cmd_data_commands import data
from harness.cmd_know_commands import certify, check, describe, doctor
from harness.cmd_list_commands import list_group
from harness.cmd_look_commands import compare, report, status, stop, sync, ui, verify
from harness.cmd_measure_commands import calibrate, launch, run, sweep, throughput
from harness.cmd_use_commands import baseline, export, predict
from harness.errors import BenchError, InterruptedRun

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

SECTIONS = {
    "Measure": ("run", "launch", "sweep", "throughput", "calibrate"),
    "Steer": ("status", "stop"),
    "Look": ("report", "verify", "compare", "ui"),
    "Use": ("export", "predict"),
    "Know": ("doctor", "list", "describe", "check", "certify", "data"),
    "Keep": ("baseline", "sync"),
}
"""How `bench --help` groups the commands."""


class _Sections(click.Group):
    """A group whose help lists its commands under headings."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write one table of commands for each heading."""
        for heading, names in SECTIONS.items():
            commands = [(name, self.commands[name]) for name in names]
            with formatter.section(heading):
                limit = 200  # never cut: a long line wraps
                formatter.write_dl([(n, c.get_short_help_str(limit)) for n, c in commands])


@click.group(cls=_Sections, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="bench")
def bench() -> None:
    """Find out which architecture, tuned how, on which hardware - and whether to believe it.

    bench trains backbones with shared heads to classify and locate a digit on a canvas, searches
    learning rate and loss weights, keeps every run in MLflow and writes reports that compare.

    \b
    Start here:
      bench run                  one training, a minute on the bundled digits
      bench sweep --trials 50    search, train the best again, test it, report
      bench ui                   browse everything in MLflow
    """  # noqa: D301 - click wants the backspace itself, not a backslash


for _command in (
    run, launch, sweep, throughput, calibrate, status, stop, report, verify, compare, ui, export,
    predict, doctor, list_group, describe, check, certify, data, baseline, sync,
):  # fmt: skip
    bench.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `bench` and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    signal.signal(signal.SIGTERM, _interrupt)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow reads it when imported
    # It warns of traces that it finds too many: one for each network of a comparison.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    _allow_local_plugins()
    sys.exit(_exit_code(lambda: bench.main(arguments, prog_name="bench", standalone_mode=False)))


def _exit_code(command: Callable[[], Any]) -> int:
    """Run a command; say its error in one line."""
    try:
        command()
    except click.ClickException as error:
        _say_click(error)
        return error.exit_code
    except BenchError as error:
        _say(error, error.exit_code)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        return InterruptedRun.exit_code
    except BrokenPipeError:
        sys.stderr.close()  # nobody reads on; a message at exit would only say so
        return 1
    return 0


def _say(error: BenchError, code: int) -> None:
    kind = "Interrupted" if code == InterruptedRun.exit_code else "Error"
    click.echo(f"{kind}: {error}", err=True)


def _say_click(error: click.ClickException) -> None:
    """Say in one line what click found wrong; `bench` alone shows its help."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
    elif context is None:
        click.echo(f"Error: {error.format_message()}", err=True)
    else:
        more = f"`{context.command_path} --help` lists what there is."
        click.echo(f"Error: {error.format_message()} {more}", err=True)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _allow_local_plugins() -> None:
    """Let `--backbone package.module:function` find modules in the current folder."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last: it must not shadow an installed module
