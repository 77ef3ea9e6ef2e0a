"""Bad input ends in one line and starts nothing; help is complete, true and quick."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import pytest
import warm_process

from harness import cli
from harness.config import knobs
from harness.mnist import IDX_FILES
from harness.store import Store
from harness.sweep_options import PRUNERS, SAMPLERS
from sweeps.lock import hold_lock
from sweeps.pruners import PrunerName
from sweeps.samplers import SamplerName

RUN = "run --dataset digits"
SWEEP = "sweep --dataset digits"
PAIR = f"{SWEEP} --backbone readme-cnn --backbone patch-s"
FIXED = "--learning-rate 1e-3 --class-weight 1 --box-weight 1"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and no setting from outside."""
    for name in ("MLFLOW_TRACKING_URI", "BENCH_OUT", "BENCH_DATA_DIR", "TF_CONFIG", "TPU_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "broken.toml").write_text("[search]\ndepth = 'x..2'")
    (tmp_path / "empty").mkdir()
    for kind in ("damaged", "unreadable"):
        (tmp_path / kind).mkdir()
    for name in IDX_FILES:
        (tmp_path / "damaged" / name).write_bytes(b"no IDX at all")
        (tmp_path / "unreadable" / name).mkdir()
    return tmp_path


def bench(line: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run a command line in this process; return exit code, stdout and stderr."""
    code = cli._exit_code(
        lambda: cli.bench.main(line.split(), prog_name="bench", standalone_mode=False)
    )
    said = capsys.readouterr()
    return code, said.out, said.err


BAD = [
    # What is asked for has no such name.
    (f"{RUN} --backbone notebok-cnn", 2, "Did you mean 'notebook-cnn'?"),
    (f"{RUN} --backbone readme-cnn --backbone notbook-cnn", 2, "Did you mean 'notebook-cnn'?"),
    (f"{RUN} --backbone readme-cnn --backbone readme-cnn", 2, "'readme-cnn' is named twice"),
    (f"{RUN} --repeats 0", 2, "--repeats must be at least 1"),
    (f"{RUN} --target skore>=0.9", 2, "Unknown measure 'skore'. Did you mean 'score'?"),
    (f"{RUN} --target score=0.9", 2, "such as 'score>=0.9', got 'score=0.9'"),
    (f"{RUN} --target score>=1.5", 2, "--target score must be a number from 0 to 1, got 1.5"),
    (f"{RUN} --target score>=0.9 --target score<=0.5", 2, "a value that can be reached"),
    (f"{RUN} --stop-at-target", 2, "--stop-at-target needs a --target to stop at."),
    (f"{RUN} --repeats 2 --seed {2**31 - 1}", 2, "`seed` must be at least 0 and at most"),
    (f"{RUN} --head soft-argmx", 2, "Did you mean 'soft-argmax'?"),
    (f"{RUN} --head soft-argmax", 2, "'soft-argmax' needs a backbone that ends in a feature map"),
    (f"{RUN} --head nowhere:head", 1, "Head 'nowhere:head' cannot be imported"),
    (f"{RUN} --box-loss l1", 2, "`box_loss` must be one of mse, huber, giou, ciou"),
    (f"{RUN} --depth 3", 2, "'notebook-cnn' has no `depth` to set. It takes `width`."),
    (f"{RUN} --width 0", 2, "`width` must be greater than 0"),
    (f"{RUN} --width nan", 2, "`width` must be greater than 0"),
    (f"{RUN} --pretrained imagenet", 2, "'notebook-cnn' has no `pretrained` to set"),
    (f"{RUN} --pretrained cifar", 2, "`pretrained` must be one of none, imagenet"),
    ("check", 2, "BACKBONE"),
    ("check notebok-cnn", 2, "Did you mean 'notebook-cnn'?"),
    (f"{RUN} --strategy miror", 2, "Did you mean 'mirrored'?"),
    ("run --dataset minst", 2, "Did you mean 'mnist'?"),
    ("data preview --dataset digit", 2, "Did you mean 'digits'?"),
    (f"{SWEEP} --sampler tp", 2, "Did you mean 'tpe'?"),
    (f"{SWEEP} --pruner medain", 2, "Did you mean 'median'?"),
    (f"{SWEEP} --objective scor", 2, "Did you mean 'score'?"),
    (f"{SWEEP} --objective score --objective score", 2, "'score' comes twice"),
    (f"{SWEEP} --objective loss", 2, "the smallest would win"),
    (f"{SWEEP} --objective compile_s", 2, "cannot be an objective"),
    (f"{SWEEP} --objective score --objective mflops --pruner median", 2, "--pruner dominance"),
    (f"{RUN} --jit maybe", 2, "`jit` must be one of off, on, auto"),
    (f"{RUN} --precision fp16", 2, "`precision` must be one of float32, mixed_bfloat16"),
    (f"{RUN} --learning-rate-scaling liner", 2, "Did you mean 'linear'?"),
    (f"{SWEEP} --jit auto", 2, "A sweep needs `jit` on or off, got 'auto'"),
    (f"{SWEEP} --search jit=off,auto", 2, "A sweep needs `jit` on or off, got 'auto'"),
    ("describe readme-cnn --jit auto", 2, "it needs `jit` on or off, got 'auto'"),
    ("throughput --backbone notebok-cnn", 2, "Did you mean 'notebook-cnn'?"),
    ("throughput --repeats 1", 2, "an interval over processes needs two, got 1."),
    ("throughput --contender patch-s", 2, "must read NAME=VALUE,NAME=VALUE, got 'patch-s'"),
    ("throughput --jit auto", 2, "To compare the two: --contender jit=off --contender jit=on."),
    ("throughput --dataset mnist --data-dir nothere", 1, "does not exist"),
    ("throughput --dataset digits --out file", 1, "The output folder must be writable"),
    ("calibrate --dataset digits --out file", 1, "The output folder must be writable"),
    ("swep", 2, "Did you mean 'sweep'?"),
    (f"{RUN} --epoch 3", 2, "'--epochs'"),
    ("list colours", 2, "colours"),
    ("data preview --split test", 2, "'test' is not one of"),
    # Numbers.
    (f"{RUN} --epochs abc", 2, "'abc' is not a valid integer"),
    (f"{RUN} --epochs 0", 2, "`epochs` must be at least 1"),
    (f"{RUN} --learning-rate -1", 2, "`learning_rate` must be greater than 0"),
    (f"{RUN} --learning-rate nan", 2, "`learning_rate` must be greater than 0"),
    (f"{RUN} --class-weight nan", 2, "`class_weight` must be at least 0"),
    (f"{RUN} --box-weight inf", 2, "`box_weight` must be at least 0"),
    (f"{RUN} --class-weight 0 --box-weight 0", 2, "must not both be 0"),
    (f"{RUN} --reference-batch-size 0", 2, "`reference_batch_size` must be at least 1"),
    (f"{RUN} --warmup-epochs 1", 2, "Add --learning-rate-scaling linear or sqrt"),
    (
        f"{RUN} --learning-rate-scaling linear --warmup-epochs 61", 2,
        "`warmup_epochs` must be at most the 60 epochs of the run, got 61",
    ),
    (
        f"{SWEEP} --learning-rate-scaling linear --warmup-epochs 19", 2,
        "`warmup_epochs` must be at most the 18 epochs of the run, got 19",
    ),
    (f"{RUN} --batch-size 5000", 2, "1197 training examples. Use --batch-size 1197 or"),
    (f"{RUN} --global-batch-size 5000", 2, "Use --global-batch-size 1197 or less"),
    (f"{RUN} --train-examples 99999", 2, "`train_examples` must be 10"),
    (f"{SWEEP} --trials 0", 2, "--trials must be at least 1"),
    (f"{SWEEP} --trial-epochs 0", 2, "--trial-epochs must be at least 1"),
    (f"{SWEEP} --trial-epochs -3", 2, "--trial-epochs must be at least 1"),
    (f"{SWEEP} --trial-examples 0", 2, "--trial-examples must be at least 1"),
    (f"{SWEEP} --trial-examples 5000", 2, "--trial-examples must be 10"),
    (f"{SWEEP} --trial-examples 20", 2, "must not exceed the 20 training examples"),
    (f"{SWEEP} --final-seeds -1", 2, "--final-seeds must be at least 0"),
    (f"{SWEEP} --top 0", 2, "--top must be at least 1"),
    (f"{SWEEP} --workers 0", 2, "--workers must be at least 1"),
    (f"{SWEEP} --workers 5", 2, "--lookahead 5 allows them; that is another sweep"),
    (f"{SWEEP} --lookahead 2 --workers 3", 2, "--workers must be at most 2, got 3"),
    (f"{SWEEP} --lookahead 0", 2, "--lookahead must be at least 1, got 0"),
    (f"{SWEEP} --lookahead 2000", 2, "lookahead must be from 1 to 1000, got 2000"),
    ("data preview --dataset digits --epoch 0", 2, "--epoch must be at least 1"),
    ("ui --port 0", 2, "`port` must be at least 1"),
    # Devices.
    (
        f"{RUN} --strategy mirrored --devices cpu:0,cpu:1 --global-batch-size 33", 2,
        "divisible by the 2 replicas of `mirrored`, but got 33. Use 32 or 34.",
    ),
    (f"{RUN} --strategy mirrored --devices cpu:0", 2, "needs at least 2 devices"),
    (f"{RUN} --devices tpu:0", 2, "such as gpu:0"),
    (f"{RUN} --strategy tpu --devices gpu:0", 2, "`tpu` uses a TPU such as tpu:local"),
    (f"{RUN} --strategy multiworker", 2, "must be told of its workers by TF_CONFIG"),
    (f"{RUN} --strategy multiworker --devices cpu:0,cpu:1", 2, "one CPU device per worker"),
    (f"{SWEEP} --strategy multiworker", 2, "A sweep's workers are processes of this machine"),
    (f"{SWEEP} --strategy tpu --workers 2", 2, "A TPU belongs to one process"),
    ("describe notebook-cnn --strategy multiworker", 2, "measures a step of one process"),
    # The search.
    (f"{SWEEP} --search nonsense", 2, "FIELD=LOW..HIGH"),
    (f"{SWEEP} --search learning_rat=1e-4..1e-2", 2, "Did you mean 'learning_rate'?"),
    (f"{SWEEP} --search learning_rate=1e-2..1e-4", 2, "low < high"),
    (f"{SWEEP} --search learning_rate=nan..1", 2, "`learning_rate` must be greater than 0"),
    (f"{SWEEP} --search learning_rate=low..1", 2, "'low'"),
    (f"{SWEEP} --search class_weight=0..1:log", 2, "needs low > 0"),
    (f"{SWEEP} --search batch_size=16..64:10", 2, "exactly"),
    (f"{SWEEP} --search seed=0..5", 2, "never searched"),
    (f"{SWEEP} --search strategy=cpu,mirrored", 2, "never searched"),
    (f"{SWEEP} --search epochs=5,10", 2, "never searched"),
    (f"{SWEEP} --search head=0..5", 2, "can have a range"),
    (f"{SWEEP} --search box_weight=1..2 --search box_weight=1..3", 2, "searched in one way"),
    (f"{SWEEP} --search width=1", 2, "at least two values"),
    (f"{SWEEP} --search width=1,", 2, "must be empty"),
    (f"{SWEEP} --search width=1,1.0", 2, "named once"),
    (f"{SWEEP} --search width=1,17", 2, "`width` must be greater than 0 and at most 16"),
    (f"{SWEEP} --search batch_size=16,two", 2, "must be a number"),
    (f"{SWEEP} --search batch_size=16,5000", 2, "must not exceed the 1197 training examples"),
    (f"{SWEEP} --search batch_size=16..5000", 2, "must not exceed the 1197 training examples"),
    (f"{SWEEP} --search depth=1,2", 2, "Backbone 'notebook-cnn' has no `depth` to set"),
    (f"{SWEEP} --search pretrained=none,imagenet", 2, "has no `pretrained` to set"),
    (f"{SWEEP} --search backbone=notebook-cnn,redme-cnn", 2, "Did you mean 'readme-cnn'?"),
    (f"{SWEEP} --search head=dense,soft-argmx", 2, "Did you mean 'soft-argmax'?"),
    (
        f"{SWEEP} --strategy mirrored --devices cpu:0,cpu:1 --search global_batch_size=32,33", 2,
        "divisible by the 2 replicas of `mirrored`, but got 33. Use 32 or 34.",
    ),
    (f"{SWEEP} --search nothere.toml", 2, "nothere.toml cannot be read"),
    (f"{SWEEP} --search broken.toml", 2, "broken.toml, key 'depth': 'x' in 'depth=x..2'"),
    (f"{SWEEP} --sampler grid", 2, "--search learning_rate=0.0001,0.001,0.01"),
    (
        f"{SWEEP} --sampler grid --trials 9 --search depth=1,2 {FIXED}", 2,
        "--trials must be at most 2, got 9",
    ),
    (f"{SWEEP} --sampler cmaes --search head=dense,pooled", 2, "`head` is a choice among names"),
    (f"{SWEEP} --search box_weight=1..2 --box-weight 3", 2, "either searched or fixed"),
    (
        f"{SWEEP} {FIXED}", 2, "must search something",
    ),
    (f"{SWEEP} --name ../x", 2, "name must be"),
    (f"{SWEEP} --backbone notebok-cnn", 2, "Did you mean 'notebook-cnn'?"),
    (f"{SWEEP} --backbone readme-cnn --search backbone=a,b", 2, "either searched or fixed"),
    # Several backbones.
    (f"{PAIR} --backbone patch-s", 2, "Each --backbone must be named once, but 'patch-s' is"),
    (f"{PAIR} --search backbone=patch-s,residual-s", 2, "by --search backbone=A,B. Leave one out"),
    (f"{PAIR} --backbone keras/VGG16 --depth 2", 2, "'readme-cnn' has no `depth` to set"),
    (f"{SWEEP} --backbone readme-cnn --backbone notebook-cnn --search depth=1,2", 2,
     "has no `depth` to set"),
    (f"{PAIR} --name ../x", 2, "name must be"),
    # Data.
    ("run --dataset mnist --data-dir nothere", 1, "does not exist"),
    ("run --dataset mnist --data-dir empty", 1, "empty"),
    ("run --dataset auto --data-dir empty", 1, "empty"),
    ("run --dataset mnist --data-dir file", 1, "file"),
    ("run --dataset mnist --data-dir damaged", 1, "train-images-idx3-ubyte"),
    ("sweep --dataset mnist --data-dir damaged", 1, "train-images-idx3-ubyte"),
    ("run --dataset mnist --data-dir unreadable", 1, "unreadable"),
    # Places.
    (f"{RUN} --out file", 1, "The output folder must be writable"),
    (f"{SWEEP} --out file", 1, "The output folder must be writable"),
    (f"{RUN} --tracking-uri ./runs", 1, "must be a database or a server"),
    (f"{RUN} --tracking-uri ftp://host/x", 1, "must start with"),
    (f"{SWEEP} --tracking-uri http://host:port", 1, "a valid port"),
    (f"{SWEEP} --tracking-uri http://127.0.0.1:9", 1, "127.0.0.1:9"),
    (f"{SWEEP} --tracking-uri sqlite:////proc/no/x.db", 1, "/proc/no"),
    ("data preview --dataset digits --to empty", 1, "empty"),
    ("data preview --dataset digits --to file/x.png", 1, "file/x.png"),
    # Nothing there to look at.
    ("report", 1, "must exist to be read"),
    ("report --all --sweep x", 2, "--all already takes every run"),
    ("status nope", 2, "There is no sweep 'nope'"),
    ("stop nope", 2, "There is no sweep 'nope'"),
    ("stop --timeout never", 2, "--timeout must be a time above 0 such as 90s"),
    (f"{SWEEP} --max-time soon", 2, "--max-time must be a time above 0 such as 90s"),
    (f"{SWEEP} --max-time 0", 2, "--max-time must be a time above 0"),
    (f"{SWEEP} --dry-run --trial-examples 20", 2, "must not exceed the 20 training examples"),
    ("ui", 1, "There must be runs to look at"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")
@pytest.mark.parametrize(("line", "code", "text"), BAD, ids=[line for line, _, _ in BAD])
def test_bad_input_is_told_in_one_line_and_starts_nothing(
    line: str, code: int, text: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, _, said = bench(line, capsys)
    assert text in said
    assert re.fullmatch(r"Error: [^\n]+\n", said), "one line"
    assert found == code
    assert nothing_started(home / "bench-runs")
    assert (home / "file").read_text() == "in the way"


def nothing_started(out: Path) -> bool:
    return not [*out.glob("runs/*"), *out.glob("sweeps/*"), *out.glob("artifacts/*")]


def test_bench_alone_shows_its_help(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, said = bench("", capsys)
    assert code == 2
    assert "Start here:" in said


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")
def test_one_command_at_a_time_runs_a_sweep(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hold_lock(Store(home / "bench-runs").sweep_dir("mine")):
        code, _, said = bench(f"{SWEEP} --name mine", capsys)
    assert code == 2
    assert f"process {os.getpid()} is running 'mine'" in said
    assert said.count("\n") == 1
    assert not list((home / "bench-runs").glob("runs/*"))


@pytest.mark.slow
def test_gpus_and_own_backbones_must_be_there(home: Path) -> None:
    (home / "mine.py").write_text("raise RuntimeError('not today')")
    (home / "random.py").write_text("raise RuntimeError('another one')")
    (home / "flat.py").write_text("def net(image_shape, width=1.0): pass")
    lines = {
        f"{RUN} --strategy gpu": (2, r"TensorFlow must see gpu:0, but [^\n]+"),
        f"{SWEEP} --strategy gpu": (2, r"TensorFlow must see gpu:0, but [^\n]+"),
        f"{SWEEP} --backbone mine:net": (1, r"[^\n]+not today[^\n]*"),
        f"{SWEEP} --backbone flat:net --search width=1,2 --search depth=1,2": (
            2,
            r"Backbone 'flat:net' has no `depth` to set. It takes `width`[^\n]+",
        ),
    }
    for line, (code, text) in lines.items():
        done = warm_process.run(
            *line.split(), environment={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
        )
        assert re.fullmatch(f"Error: {text}\n", done.stderr), line
        assert done.returncode == code
    assert nothing_started(home / "bench-runs")


def test_lists_name_everything(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "readme-cnn" in bench("list backbones", capsys)[1]
    assert "mirrored" in bench("list strategies", capsys)[1]
    assert "scikit-learn" in bench("list datasets", capsys)[1]
    assert "soft-argmax" in bench("list heads", capsys)[1]
    hard = "--digit-px 14..42 --box-fit ink --rotation-deg 30 --background mixed --contrast 0.4..1"
    assert f"hard       {hard} --clutter 8 --occlusion 0.3" in bench("list scenes", capsys)[1]


def test_status_of_nothing_says_how_to_start(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said, _ = bench("status", capsys)
    assert code == 0
    assert "start with `bench sweep`" in said


def commands(
    command: click.Command = cli.bench, path: str = "bench"
) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, f"{path} {name}")


@pytest.mark.parametrize(("path", "command"), list(commands()), ids=str)
def test_help_explains_every_option_within_80_columns(path: str, command: click.Command) -> None:
    context = click.Context(command, info_name=path, terminal_width=80, **cli.CONTEXT)
    text = command.get_help(context)
    for option in command.get_params(context):
        if isinstance(option, click.Option):
            assert option.help, option.name
            assert option.help.endswith((".", "]")), option.help
            assert option.opts[0] in text
    assert "INTEGER" not in text
    assert "FLOAT" not in text
    usage = r"COMMAND \[ARGS\]\.\.\.|[A-Z]+\.\.\."  # what is left must be a text that was cut
    assert "..." not in re.sub(usage, "", text)
    assert max(len(line) for line in text.splitlines()) <= 80


@pytest.mark.parametrize(
    "command", [cli.run, cli.sweep, cli.throughput, cli.describe], ids=lambda c: c.name
)
def test_options_stand_under_headings(command: click.Command) -> None:
    text = command.get_help(click.Context(command, info_name="bench", **cli.CONTEXT))
    heading, places = "", {}
    for line in text.splitlines():
        if re.fullmatch(r"\w+:", line):
            heading = line[:-1]
        for option in re.findall(r"^  (--[\w-]+)", line):
            assert option not in places, "each option once"
            places[option] = heading
    assert places["--head"] == "Model"
    assert places["--strategy"] == "Hardware"
    assert places["--out"] == "Places"
    own = {
        "run": "--repeats", "sweep": "--trials", "throughput": "--seconds",
        "describe": "--layers",
    }[str(command.name)]  # fmt: skip
    assert places[own] == "Options"


def test_the_first_steps_keep_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    said = bench("--help", capsys)[1]
    assert "\n    bench ui                   browse everything in MLflow\n" in said


def test_every_knob_has_an_option_of_its_name() -> None:
    for name, command in (("run", cli.run), ("sweep", cli.sweep)):
        options = {option for param in command.params for option in param.opts}
        wanted = {"--" + knob.replace("_", "-") for knob in knobs()}
        assert wanted - {"--evaluate-test"} <= options, name


def test_choices_shown_are_those_of_the_search() -> None:
    assert set(SAMPLERS) == set(get_args(SamplerName))
    assert set(PRUNERS) == set(get_args(PrunerName))
