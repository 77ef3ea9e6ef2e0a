"""`bench describe` for real: table, costs, memory of a step, diagram, and what it refuses."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
from pathlib import Path

import matplotlib.image
import pytest
import warm_process
from records import NOTEBOOK
from rich.console import Console

from harness import cli, cmd_describe
from harness.cmd_describe import cost_lines, file_name, layer_table, memory_line
from harness.config import RunConfig
from harness.plain_words import in_words
from harness.record import Layer, Measure, ModelFacts
from harness.step_memory import StepMemory, absent, measuring, result

MINE = """
import os
import keras
from keras import layers

def small(image_shape, *, width=1.0):
    print("a line of the backbone's own")
    image = keras.Input(image_shape, name="image")
    x = layers.Conv2D(int(4 * width), 5, strides=5, name="conv")(image)
    return keras.Model(image, layers.GlobalAveragePooling2D(name="mean")(x))

def turning(image_shape):
    image = keras.Input(image_shape)
    x = layers.Reshape((5, 5))(layers.AveragePooling2D(15)(image))
    return keras.Model(image, layers.GRU(2, name="turns")(x))

def leaving(image_shape):
    os._exit(3)

def broken(image_shape):
    raise ValueError("not today")
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a plug-in in it."""
    monkeypatch.delenv("BENCH_OUT", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.fixture
def on_path(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder, last on the path as `bench` puts it."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(home)])
    return home


@pytest.mark.slow
def test_layers_costs_memory_and_diagram(home: Path) -> None:
    (home / "random.py").write_text("raise RuntimeError('another one')")
    done = warm_process.run("describe", "mine:small", "--width", "2", "--batch-size", "4")
    assert done.returncode == 0, done.stderr
    rows = [re.split(r"\s{2,}", line.strip()) for line in done.stdout.splitlines()]
    # 15 x 15 places, 5 x 5 x 1 x 8 weights and 8 biases.
    assert ["conv", "Conv2D", "15 x 15 x 8", "208", "45,000", "99.8%"] in rows
    assert ["mean", "GlobalAveragePooling2D", "8"] in rows
    assert ["classification", "Dense", "10", "90", "80", "0.2%"] in rows
    assert ["bounding_box", "Dense", "4", "36", "32", "0.1%"] in rows
    assert ["backbone total", "208", "45,000", "99.8%"] in rows
    assert ["head total", "126", "112", "0.2%"] in rows
    assert ["total", "334", "45,112", "100.0%"] in rows
    assert "mine:small, width 2.0, head dense: images of 75 x 75 x 1, 10 classes" in done.stdout
    assert "the backbone ends in 8 features" in done.stdout
    assert "0.0902 MFLOP for one image forward" in done.stdout
    assert re.search(r"^\d+ MiB at the peak of one training step of 4 images", done.stdout, re.M)
    picture = matplotlib.image.imread(home / "bench-runs" / "describe-mine-small.png")
    assert picture.shape[1] == 1050
    assert picture.std() > 0.01
    assert not list(home.glob("bench-runs/runs/*")), "it trains nothing that stays"


def inside(line: str) -> int:
    """Run a command line in this process, where TensorFlow need not be loaded again."""
    words = ["describe", *line.split()]
    return cli._exit_code(lambda: cli.bench.main(words, prog_name="bench", standalone_mode=False))


@pytest.mark.slow
def test_what_is_not_known_is_said(on_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inside("mine:turning --to folder/layers.png") == 0
    said = capsys.readouterr().out
    # 3 gates of (5 inputs + 2 states) x 2 weights and 2 x 2 biases.
    assert re.search(r"^turns +GRU +2 +54 +absent", said, re.M)
    assert "FLOP of an image: absent, because in 'turns' products are repeated" in said
    assert (on_path / "folder" / "layers.png").is_file()


REFUSED = [
    ("notebok-cnn", 2, "Did you mean 'notebook-cnn'?"),
    ("notebook-cnn --head densse", 2, "Did you mean 'dense'?"),
    ("notebook-cnn --head soft-argmax", 2, "needs a backbone that ends in a feature map"),
    ("notebook-cnn --depth 2", 2, "has no `depth` to set"),
    ("mine:small --depth 2", 2, "has no `depth` to set"),
    ("mine:small --pretrained imagenet", 2, "has no `pretrained` to set"),
    ("notebook-cnn --width 0", 2, "`width` must be greater than 0"),
    ("notebook-cnn --batch-size 0", 2, "`batch_size` must be at least 1"),
    ("notebook-cnn --to folder", 1, "must name a PNG file, but folder is a folder"),
    ("notebook-cnn --to mine.py/x.png", 1, "--to must name a file in a folder that can be"),
    ("notebook-cnn --out mine.py", 1, "The output folder must be writable"),
    ("mine:broken", 1, "raised ValueError: not today"),
    ("mine:none", 1, "has no attribute 'none'"),
]


@pytest.mark.parametrize(("line", "code", "text"), REFUSED, ids=[line for line, _, _ in REFUSED])
def test_bad_input_is_told_in_one_line(
    line: str, code: int, text: str, on_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = inside(line)
    said = capsys.readouterr().err
    assert text in said
    assert re.fullmatch(r"Error: [^\n]+\n", said), "one line"
    assert found == code
    assert not list(on_path.rglob("*.png"))


def lines(facts: ModelFacts, mflops: Measure, **options: bool) -> list[str]:
    console = Console(width=200, no_color=True, file=None)
    with console.capture() as said:
        console.print(layer_table(RunConfig(), facts, mflops, **options))
    return [" ".join(line.split()) for line in said.get().splitlines()]


def counted(n: int, products: int) -> ModelFacts:
    layers = tuple(
        Layer(name=f"block_{i // 4}_conv_{i}", kind="Conv2D", output_shape=(2, 2, 1),
              parameters=i, multiply_adds=products)
        for i in range(n)
    )  # fmt: skip
    total = sum(layer.parameters for layer in layers)
    return ModelFacts(parameters=total, backbone_parameters=total, layers=layers)


def test_a_deep_network_is_summed_up_unless_every_layer_is_asked_for() -> None:
    deep, mflops = counted(100, 1000), Measure(value=0.2)
    found = lines(deep, mflops)
    assert len(found) < 40
    # Layers 4 to 7 with 4 + 5 + 6 + 7 parameters.
    assert "block_1_conv (4 layers) 4 Conv2D 2 x 2 x 1 22 4,000 4.0%" in found
    every = lines(deep, mflops, every_layer=True)
    assert "block_1_conv_5 Conv2D 2 x 2 x 1 5 1,000 1.0%" in every
    assert len([line for line in every if line.startswith("block_")]) == 100


def test_products_between_layers_have_a_row() -> None:
    found = lines(counted(2, 1000), Measure(value=0.005))
    assert "between the layers 500 20.0%" in found
    assert "total 1 2,500 100.0%" in found
    assert not any("between" in line for line in lines(counted(2, 1000), Measure(value=0.004)))


def test_records_without_counts_have_none() -> None:
    found = lines(NOTEBOOK, Measure(reason="never counted"))
    assert "conv_1 Conv2D 73 x 73 x 16 160 absent" in found
    assert "total 685,774 absent" in found


def test_a_narrow_terminal_shows_whole_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = Console(width=80, force_terminal=True, no_color=True)
    monkeypatch.setattr(cmd_describe, "console", narrow)
    with narrow.capture() as said:
        cmd_describe._show(RunConfig(), counted(100, 10**9), Measure(value=2e5), every_layer=False)
    assert "4,000,000,000" in said.get()
    assert "Conv2D" not in said.get(), "kinds make room"
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said.get())
    assert max(len(line) for line in plain.splitlines()) <= 80


def test_costs_in_words() -> None:
    # 685,774 x 4 bytes are 2.616 MiB; 2 x 10,644,624 are 21.3 million.
    found = list(cost_lines(NOTEBOOK, Measure(value=21.289248)))
    assert found[0] == "the backbone ends in 128 features"
    assert found[1].startswith(
        "685,774 parameters, 2.62 MiB in float32: 683,968 in the backbone, "
    )
    assert found[1].endswith("1,806 in the head")
    assert found[2].startswith("21.3 MFLOP for one image forward: 2 for each multiply-add")
    assert found[3].startswith("63.9 MFLOP to train on one image, estimated as 3 x forward")
    first = next(cost_lines(counted(1, 1), Measure(value=1.0)))
    assert first == "the backbone ends in a map of 2 x 2 x 1"


def test_memory_in_words() -> None:
    found = StepMemory(peak_mib=Measure(value=1234.5), where="memory of gpu:0")
    assert memory_line(found, 64).startswith("1,234 MiB at the peak of one training step of 64 im")
    assert StepMemory.loads(found.dumps()) == found
    said = memory_line(absent("no luck"), 1)
    assert said == "memory of one training step of 1 image: absent, because no luck"


@pytest.mark.parametrize(
    ("backbone", "name"),
    [("notebook-cnn", "notebook-cnn"), ("keras/ResNet50", "keras-ResNet50"),
     ("my.nets:Outer.small", "my.nets-Outer.small"), ("../../x:y", "x-y")],
)  # fmt: skip
def test_file_names_stay_in_the_folder(backbone: str, name: str) -> None:
    assert file_name(backbone) == name


@pytest.mark.slow
def test_memory_of_a_step_holds_what_the_gradient_needs() -> None:
    small, large = RunConfig(batch_size=8), RunConfig(batch_size=136)
    with measuring(small) as one, measuring(large) as other:
        few, many = result(one), result(other)
    assert few.peak_mib.value is not None
    assert many.peak_mib.value is not None
    # The gradient of the second convolution needs the first one's pooled output, that of the
    # pooling and the ReLU its whole output: 73 x 73 x 16 + 36 x 36 x 16 floats an image.
    at_least = 128 * (73 * 73 * 16 + 36 * 36 * 16) * 4 / 2**20
    grown = many.peak_mib.value - few.peak_mib.value
    assert at_least < grown < 8 * at_least
    # Weights, gradients and Adam's two moments.
    assert few.peak_mib.value > 4 * 426_638 * 4 / 2**20
    assert many.where == "resident memory on the CPU"


@pytest.mark.slow
def test_a_step_that_fails_or_dies_is_absent_with_its_reason(on_path: Path) -> None:
    names = ("notebook-cnn", "mine:leaving", "mine:broken")
    with contextlib.ExitStack() as stack:  # together: each takes seconds
        processes = [stack.enter_context(measuring(RunConfig(backbone=name))) for name in names]
        processes[0].send_signal(signal.SIGKILL)
        killed, left, broken = (str(result(process).peak_mib.reason) for process in processes)
    assert "ended by signal 9" in killed
    assert left == "the process that measured it ended with exit code 3"
    assert broken.endswith("raised ValueError: not today")


def test_nothing_is_left_running(home: Path) -> None:
    with measuring(RunConfig()) as process:
        assert process.poll() is None
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no net.", "ValueError: no net"),
        ("first\nsecond", "ValueError: first"),
        ("", "ValueError"),
        ("Exception encountered when calling A.call().\n\n\x1b[1mtoo\nbad\x1b[0m\n\nMore:",
         "ValueError: too"),
        ("in user code:\n\n    File x\n\n    ValueError: gone.\n", "ValueError: ValueError: gone"),
    ],
)  # fmt: skip
def test_errors_of_others_in_one_line(text: str, words: str) -> None:
    assert in_words(ValueError(text)) == words
