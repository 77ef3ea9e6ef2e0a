"""Options made from the knobs of a run: one each, read back to the same configuration."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from harness import options
from harness.config import MAX_SEED, Jit, Precision, RunConfig, knobs
from harness.errors import BenchError, DeviceError, UsageError
from harness.options import config_options, data_dir_option, place_options, read_config
from reports.commands import run_command

ROOT = Path(__file__).parent.parent


@click.command()
@config_options()
@data_dir_option
@place_options
@click.pass_context
def command(context: click.Context, **values: Any) -> tuple[RunConfig, set[str], dict[str, Any]]:
    return read_config(values), options.given(context), values


def parse(line: str | list[str]) -> tuple[RunConfig, set[str], dict[str, Any]]:
    words = shlex.split(line) if isinstance(line, str) else line
    result: tuple[RunConfig, set[str], dict[str, Any]] = command.main(words, standalone_mode=False)
    return result


def test_nothing_given_is_the_default_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_DATA_DIR", raising=False)
    monkeypatch.delenv("BENCH_OUT", raising=False)
    config, chosen, values = parse("")
    assert config == RunConfig()
    assert chosen == set()
    assert values["epochs"] is None, "so that the data set can choose"
    assert (values["out"], values["data_dir"]) == (Path("bench-runs"), None)


def test_each_field_has_one_option_with_its_help() -> None:
    by_name = {param.name: param for param in command.params}
    assert set(knobs()) <= set(by_name)
    for name, knob in knobs().items():
        option = by_name[name]
        assert isinstance(option, click.Option)
        assert knob.help in (option.help or "")
        word = knob.on_off.split("/")[0] if knob.on_off else name.replace("_", "-")
        expected = f"--{word}"
        assert option.opts == [expected]
    fields = [param.name for param in command.params if param.name in knobs()]
    assert fields == list(knobs()), "help shows them in the order of declaration"


def test_fields_can_be_left_out() -> None:
    @click.command()
    @config_options(without=("evaluate_test", "seed"))
    def fewer(**values: Any) -> RunConfig:
        return read_config(values)

    names = {param.name for param in fewer.params}
    assert names == set(knobs()) - {"evaluate_test", "seed"}
    assert fewer.main(["--epochs", "3"], standalone_mode=False) == RunConfig(epochs=3)


@pytest.mark.parametrize(
    ("line", "jit"), [("", "off"), ("--jit", "on"), ("--jit --epochs 3", "on"),
                      ("--jit off", "off"), ("--jit=on", "on"), ("--jit auto", "auto")],
)  # fmt: skip
def test_jit_alone_means_on(line: str, jit: str) -> None:
    assert parse(line)[0].jit == jit


def test_given_tells_what_the_user_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_DATA_DIR", raising=False)
    assert parse("--epochs 10 --no-test --jit")[1] == {"epochs", "evaluate_test", "jit"}
    monkeypatch.setenv("BENCH_DATA_DIR", "/data")
    _, chosen, values = parse("--seed 0")
    assert chosen == {"seed", "data_dir"}
    assert values["data_dir"] == Path("/data")


@pytest.mark.parametrize(
    ("line", "kind", "reason"),
    [
        ("--backbone notebok-cnn", UsageError, "Unknown backbone 'notebok-cnn'. Did you mean"),
        ("--dataset minst", UsageError, "Unknown data set 'minst'. Did you mean 'mnist'?"),
        ("--strategy gpus", UsageError, "Unknown strategy 'gpus'. Did you mean 'gpu'?"),
        ("--devices tpu:0", DeviceError, "`devices` must be names such as"),
        ("--strategy cpu --devices gpu:0", DeviceError, "`cpu` uses one CPU"),
        (
            "--devices cpu:0,cpu:1 --global-batch-size 31", DeviceError,
            "divisible by the 2 replicas of `auto`, but got 31. Use 30 or 32.",
        ),
        ("--learning-rate nan", UsageError, "`learning_rate` must be greater than 0"),
        ("--learning-rate 0", UsageError, "`learning_rate` must be greater than 0"),
        ("--box-weight inf", UsageError, "`box_weight` must be at least 0"),
        ("--class-weight 0 --box-weight 0", UsageError, "must not both be 0"),
        ("--epochs 0", UsageError, "`epochs` must be at least 1"),
        ("--jit=maybe", UsageError, "`jit` must be one of off, on, auto, got 'maybe'."),
        ("--precision float16", UsageError, "Did you mean 'mixed_float16'?"),
        ("--learning-rate-scaling lin", UsageError, "Did you mean 'linear'?"),
        ("--reference-batch-size 0", UsageError, "`reference_batch_size` must be at least 1"),
        ("--warmup-epochs 2", UsageError, "Add --learning-rate-scaling linear or sqrt"),
        (
            "--learning-rate-scaling sqrt --warmup-epochs nan", UsageError,
            "`warmup_epochs` must be at least 0, got nan.",
        ),
        (
            "--learning-rate-scaling sqrt --warmup-epochs -1", UsageError,
            "`warmup_epochs` must be at least 0, got -1.0.",
        ),
        (
            "--learning-rate-scaling sqrt --warmup-epochs 3 --epochs 2", UsageError,
            "`warmup_epochs` must be at most the 2 epochs of the run, got 3: ",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(line: str, kind: type[BenchError], reason: str) -> None:
    with pytest.raises(kind) as error:
        parse(line)
    assert type(error.value) is kind
    assert reason in str(error.value)


def test_a_warmup_is_measured_against_the_epochs_that_the_data_set_may_choose() -> None:
    # Digits train for 60 epochs unless told otherwise: 20 are no mistake before that is known.
    config, chosen, _ = parse("--learning-rate-scaling sqrt --warmup-epochs 20")
    assert (config.warmup_epochs, "epochs" in chosen) == (20, False)


@pytest.mark.parametrize("line", ["--epochs x", "--learning-rate x", "--epoch", "--seed 1.5"])
def test_what_is_no_number_or_option_is_refused_by_click(line: str) -> None:
    result = CliRunner().invoke(command, line)
    assert result.exit_code == 2
    assert "Error:" in result.output


def test_names_are_checked_before_anything_slow_is_imported() -> None:
    code = """
import sys
from harness.errors import UsageError
from harness.options import read_config
for wrong in ({"backbone": "x"}, {"dataset": "x"}, {"strategy": "x"}, {"devices": "x"}, {}):
    try:
        read_config(wrong)
        assert not wrong
    except UsageError:
        assert wrong
slow = {"tensorflow", "keras", "mlflow", "optuna", "pandas", "sklearn", "numpy"}
assert not slow & set(sys.modules), slow & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


NUMBERS = st.floats(0, 10, allow_nan=False).filter(lambda x: x > 0)


@st.composite
def configs(draw: st.DrawFn) -> RunConfig:
    devices, batches = draw(
        st.sampled_from([("", 1), ("cpu:0,cpu:1", 2), ("gpu:0,gpu:2,gpu:1", 3), ("gpu:1", 1)])
    )
    optional = st.none() | st.integers(1, 10**6)
    shared = draw(optional)
    return RunConfig(
        backbone=draw(st.sampled_from(["notebook-cnn", "readme-cnn", "my.nets:deep"])),
        learning_rate=draw(NUMBERS),
        learning_rate_scaling=draw(st.sampled_from(["linear", "sqrt"])),
        reference_batch_size=draw(st.integers(1, 10**9)),
        warmup_epochs=draw(st.none() | st.floats(0, 1)),
        class_weight=draw(st.floats(0, 1e6)),
        box_weight=draw(st.floats(1e-300, 1e6)),
        batch_size=draw(st.integers(1, 10**9)),
        global_batch_size=None if shared is None else shared * batches,
        epochs=draw(st.integers(1, 100_000)),
        patience=draw(optional),
        seed=draw(st.integers(0, MAX_SEED)),
        dataset=draw(st.sampled_from(["mnist", "digits", "folder:/a path/x", "npz:/x.npz"])),
        skip_bad=draw(st.booleans()),
        data_seed=draw(st.integers(0, MAX_SEED)),
        train_examples=draw(optional),
        evaluate_test=draw(st.booleans()),
        strategy="auto" if devices else draw(st.sampled_from(["auto", "cpu", "gpu", "mirrored"])),
        devices=devices,
        threads=draw(st.integers(0, 4096)),
        precision=draw(st.sampled_from(get_args(Precision))),
        jit=draw(st.sampled_from(get_args(Jit))),
        steps_per_call=draw(st.integers(1, 10_000)),
    )


@given(configs())
def test_the_command_line_of_a_run_gives_the_same_run(config: RunConfig) -> None:
    bench, run, *words = shlex.split(run_command(config))
    assert (bench, run) == ("bench", "run")
    again, chosen, _ = parse(words)
    assert again == config
    assert again.digest() == config.digest()
    assert {"dataset", "epochs"} <= chosen, "what a data set would choose is said"
