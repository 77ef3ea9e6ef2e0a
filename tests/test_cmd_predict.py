"""`bench export` and `bench predict` as users type them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nets  # noqa: F401 - the backbone named below
import numpy as np
import pytest
from PIL import Image

from harness.config import RunConfig
from harness.data import load
from harness.draft import Identity
from harness.exported import CARD_FILE, SAVED_MODEL
from harness.predictions import Predictions
from harness.run import execute
from harness.store import Store
from harness.track import Tracker

Bench = Callable[[str], tuple[int, str, str]]

CONFIG = RunConfig(
    backbone="nets:tiny", dataset="digits", epochs=1, batch_size=16, train_examples=120,
    strategy="cpu",
)  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("ran"))
    for run_id, role in (("r", "run"), ("t", "trial")):
        identity = Identity(run_id=run_id, role=role)  # type: ignore[arg-type]
        assert execute(CONFIG, identity=identity, store=store, data_dir=None).status == "finished"
    return store


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two test scenes as files, and one of them as somebody's photo."""
    scenes = load(CONFIG, None, say=print).open_test()
    folder = tmp_path / "pictures"
    folder.mkdir()
    for row in (0, 1):
        Image.fromarray(scenes.images[row]).save(folder / f"{row}.png")
    double = Image.fromarray(scenes.images[0]).resize((150, 150), Image.Resampling.NEAREST)
    wide = Image.new("L", (350, 150))
    wide.paste(double, (100, 0))
    wide.save(folder / "wide.png")
    return folder


def test_pictures_get_what_the_run_said_of_these_scenes(
    bench: Bench, ran: Store, pictures: Path, tmp_path: Path
) -> None:
    code, said, _ = bench(f"predict r {pictures} --out {ran.root} --to {tmp_path}/drawn --json")
    assert code == 0
    found = json.loads(said)
    kept = Predictions.load(ran.run_dir("r") / "predictions-test.npz")
    assert [Path(each["path"]).name for each in found["pictures"]] == [
        "0.png", "1.png", "wide.png"
    ]  # fmt: skip
    for row in (0, 1):
        each = found["pictures"][row]
        assert np.allclose(each["probabilities"], kept.probabilities[row], atol=1e-5)
        assert each["probability"] == max(each["probabilities"])
        assert each["class_name"] == str(kept.probabilities[row].argmax())
        assert np.allclose(each["box"], kept.predicted_boxes[row], atol=1e-5)
        assert np.allclose(each["box_px"], 75 * kept.predicted_boxes[row], atol=1e-3)
        assert not each["inverted"]
    # 350 pixels are 75 of the canvas, so a fraction of it is 350 pixels; 150 rows are 32 of it.
    wide = found["pictures"][2]
    assert wide["box_px"][0] == pytest.approx(350 * wide["box"][0])
    assert wide["box_px"][1] == pytest.approx((75 * wide["box"][1] - 21) * 150 / 32)
    for each in found["pictures"]:
        assert Path(each["drawing"]).parent == tmp_path / "drawn"
        with Image.open(each["drawing"]) as drawing:
            assert max(drawing.size) >= 480


def test_an_export_predicts_the_same_as_its_run(
    bench: Bench, ran: Store, pictures: Path, tmp_path: Path
) -> None:
    to = tmp_path / "exported"
    code, said, _ = bench(f"export r --out {ran.root} --to {to}")
    assert code == 0
    assert "read again, both give the classes of the run for its" in said
    assert f"bench predict {to} IMAGE" in said
    answers = []
    for name in ("r", str(to)):
        code, said, _ = bench(f"predict {name} {pictures} --out {ran.root} --json")
        assert code == 0
        answers.append(json.loads(said))
    for one, other in zip(answers[0]["pictures"], answers[1]["pictures"], strict=True):
        assert np.allclose(one["box"], other["box"], atol=1e-5)
        assert one["class_name"] == other["class_name"]


def test_a_table_says_what_is_where(bench: Bench, ran: Store, pictures: Path) -> None:
    Image.new("L", (75, 75), 255).save(pictures / "paper.png")
    code, said, _ = bench(f"predict r {pictures} --out {ran.root}")
    assert code == 0
    assert "probability" in said
    assert "light and dark were swapped in 1 of 4" in said
    assert f"drawn in {ran.root / 'predicted' / 'r'}" in said


def test_names_of_drawings_never_collide(
    bench: Bench, ran: Store, pictures: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    again.mkdir()
    (again / "0.png").write_bytes((pictures / "0.png").read_bytes())
    to = tmp_path / "drawn"
    code, _, _ = bench(f"predict r {pictures}/0.png {again}/0.png --out {ran.root} --to {to}")
    assert code == 0
    assert sorted(path.name for path in to.iterdir()) == ["0-2.png", "0.png"]


def test_drawings_replace_older_drawings_only(bench: Bench, ran: Store, pictures: Path) -> None:
    """Not the pictures themselves, nor what else is in the folder."""
    before = {path: path.read_bytes() for path in pictures.iterdir()}
    code, _, said = bench(f"predict r {pictures} --out {ran.root} --to {pictures}")
    assert (code, "Drawings must not replace other files, but" in said) == (2, True)
    Image.open(pictures / "0.png").save(pictures.parent / "0.jpg")
    code, _, said = bench(f"predict r {pictures.parent}/0.jpg --out {ran.root} --to {pictures}")
    assert (code, f"{pictures / '0.png'} is one" in said) == (2, True)
    assert {path: path.read_bytes() for path in pictures.iterdir()} == before
    to = pictures / "drawn"
    for _ in range(2):
        assert bench(f"predict r {pictures} --out {ran.root} --to {to}")[0] == 0
    assert len(list(to.iterdir())) == 3


def test_a_run_that_still_trains_is_told(bench: Bench, ran: Store, tmp_path: Path) -> None:
    with Tracker(None, Store(tmp_path), notify=print) as tracker:
        tracker.begin("young", "run", None, None, CONFIG)
    code, _, said = bench(f"export young --out {tmp_path} --to {tmp_path}/to")
    assert (code, "young has no record yet" in said) == (2, True)


def test_bad_requests_are_told_before_anything_slow(
    bench: Bench, ran: Store, pictures: Path, tmp_path: Path
) -> None:
    code, _, said = bench(f"predict r {tmp_path}/nowhere.png --out {ran.root}")
    assert (code, "there is no" in said) == (2, True)
    (pictures / "text.png").write_text("no picture")
    code, _, said = bench(f"predict r {pictures} --out {ran.root}")
    assert (code, "1 of 4 is not" in said) == (1, True)
    code, _, said = bench(f"export t --out {ran.root}")
    assert code == 2
    assert "it is a trial: only the finals of a sweep and single runs keep theirs" in said


def test_a_folder_of_somebody_else_is_left_alone(bench: Bench, ran: Store, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    code, _, said = bench(f"export r --out {ran.root} --to {tmp_path}")
    assert code == 2
    assert "must be new, empty or an export, but holds other files" in said
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    code, _, said = bench(f"export r --out {ran.root} --to {tmp_path}/thesis.tex")
    assert (code, "must be a folder" in said) == (2, True)


def test_an_older_export_goes_only_if_asked(bench: Bench, ran: Store, tmp_path: Path) -> None:
    to = tmp_path / "to"
    assert bench(f"export r --out {ran.root} --to {to}")[0] == 0
    code, _, said = bench(f"export r --out {ran.root} --to {to}")
    assert (code, "holds an export already. Give --replace" in said) == (2, True)
    assert bench(f"export r --out {ran.root} --to {to} --replace")[0] == 0


def test_a_damaged_export_is_told(bench: Bench, ran: Store, pictures: Path) -> None:
    assert bench(f"export r --out {ran.root}")[0] == 0
    folder = ran.exports / "r"
    (folder / SAVED_MODEL / "saved_model.pb").unlink()
    code, _, said = bench(f"predict {folder} {pictures} --out {ran.root}")
    assert (code, "must be what `bench export` wrote, but is damaged" in said) == (1, True)
    (folder / CARD_FILE).write_text("{}")
    code, _, said = bench(f"predict {folder} {pictures} --out {ran.root}")
    assert (code, "is damaged: 'input'" in said) == (1, True)
