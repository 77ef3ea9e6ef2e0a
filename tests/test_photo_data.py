"""Real photos as the data of a run: the interface of any data, sealed, in colour, and trained."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nets  # noqa: F401 - the backbone named below
import numpy as np
import pytest
from pycocotools.coco import COCO
from tiny_photos import CLASSES, photos, write_coco, write_csv, write_voc

from harness.config import RunConfig
from harness.data import Data, load
from harness.draft import Identity
from harness.errors import DataError, UsageError
from harness.letterbox import to_source
from harness.photo_data import CANVAS_PX, RULES, PhotoData
from harness.predictions import Examples, Predictions
from harness.run import execute
from harness.store import Store

Bench = Callable[[str], tuple[int, str, str]]

DRAWN = photos(90, seed=3, least_px=40, most_px=90)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_voc(tmp_path_factory.mktemp("voc"), DRAWN)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def config(source: str, **changes: Any) -> RunConfig:
    return RunConfig(**({"dataset": source, "canvas_px": 32} | changes))


def data_of(source: str, **changes: Any) -> Data:
    return load(config(source, **changes), None, say=pytest.fail)


def test_photos_are_data_like_any_other(source: str) -> None:
    data = data_of(source)
    assert (data.source, data.dataset) == ("voc", source)
    assert (data.image_px, data.channels) == (32, 3)
    assert (data.classes, data.class_names) == (3, CLASSES)
    # Of 90 a fifth is sealed, and a tenth of the other 72 validates; classes are as frequent.
    assert (data.n_train, data.n_available, data.n_validation) == (65, 65, 7)
    assert data.left_out() == ()
    order = data.train_order(1, seed=4)
    assert sorted(order.tolist()) == list(range(65))
    scenes = data.train_scenes(1, order[:5])
    assert scenes.images.shape == (5, 32, 32, 3)
    assert scenes.ids.tolist() == order[:5].tolist()
    assert data.validation().images[2:4].shape == (2, 32, 32, 3)


def test_the_test_photos_stay_sealed(source: str) -> None:
    data = data_of(source)
    assert not data.test_opened
    assert (data.identity().n_test, data.identity().test_digest) == (None, None)
    test = data.open_test()
    assert data.test_opened
    assert len(test.ids) == data.identity().n_test == 18
    assert data.identity().test_digest


def test_the_identity_is_that_of_the_content(source: str, tmp_path: Path) -> None:
    one, other = data_of(source).identity(), data_of(source, data_seed=1).identity()
    assert one.digest == other.digest
    assert one.scene == RULES
    assert one.scene_digest != RunConfig().scene_spec().digest()
    moved = write_voc(tmp_path / "elsewhere", DRAWN)
    assert data_of(moved).identity() == one
    for changes in ({"canvas_px": 48}, {"color": "grey"}):
        assert data_of(source, **changes).identity().digest != one.digest
    assert data_of(write_voc(tmp_path / "fewer", DRAWN[:-1])).identity().digest != one.digest


def test_every_way_of_keeping_photos_gives_the_same(source: str, cache: Path) -> None:
    found = [data_of(source, cache=mode) for mode in ("memory", "none", "disk", "disk")]
    assert list(cache.rglob("*")), "what is decoded is kept there"
    pixels = {data.train_scenes(1, np.arange(20)).images.tobytes() for data in found}
    assert len(pixels) == 1
    assert len({data.identity() for data in found}) == 1


def test_grey_photos_have_one_channel(source: str) -> None:
    data = data_of(source, color="grey")
    assert data.channels == 1
    assert data.train_scenes(1, np.arange(2)).images.shape == (2, 32, 32)
    assert data_of(source, canvas_px=None).image_px == CANVAS_PX


def test_augmentation_moves_photos_with_their_boxes(source: str) -> None:
    still, moving = data_of(source), data_of(source, augment_shift=0.2)
    ids = np.arange(30)
    assert not np.array_equal(still.train_scenes(1, ids).boxes, moving.train_scenes(1, ids).boxes)
    assert not np.array_equal(moving.train_scenes(1, ids).boxes, moving.train_scenes(2, ids).boxes)
    assert np.array_equal(still.validation().boxes, moving.validation().boxes)
    assert still.identity() == moving.identity(), "it is the training that differs"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"scene": "hard", "canvas_px": 96},
            r"`scene` makes scenes of small images, but voc:.* got 'hard'",
        ),
        ({"digit_px": "20"}, r"`digit_px` makes scenes of small images"),
        ({"clutter": 2}, r"`clutter` makes scenes of small images"),
        ({"train_examples": 2}, r"`train_examples` must be 3 \(one per class\) to 65"),
        ({"train_examples": 66}, r"must be 3 .* to 65"),
    ],
)
def test_what_does_not_fit_photos_is_refused(
    source: str, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        data_of(source, **changes)


def test_small_images_have_no_colours() -> None:
    with pytest.raises(UsageError, match=r"`color` must be auto or grey for small images"):
        load(RunConfig(dataset="digits", color="rgb"), None, say=pytest.fail)


def test_faults_are_told_or_left_out(tmp_path: Path) -> None:
    bad = write_csv(tmp_path / "csv", DRAWN)
    (tmp_path / "csv" / "000004.png").write_text("no image")
    (tmp_path / "csv" / "000007.png").unlink()
    with pytest.raises(DataError, match=r"has 2 problems:\n.*000007\.png(.|\n)*--skip-bad"):
        data_of(bad)
    data = data_of(bad, skip_bad=True)
    assert data.left_out()[0].startswith("2 faults passed over")
    assert any("000004.png" in line for line in data.left_out())
    assert data.identity().skipped == 2


@pytest.mark.parametrize("color", ["rgb", "grey"])
def test_a_run_trains_tests_and_keeps_photos(source: str, tmp_path: Path, color: str) -> None:
    store = Store(tmp_path / "out")
    record = execute(
        config(source, color=color, backbone="nets:tiny", epochs=2, batch_size=16, strategy="cpu"),
        identity=Identity(run_id="r"), store=store, data_dir=None,
    )  # fmt: skip
    assert record.status == "finished", record.reason
    assert record.data
    assert record.data.class_names == CLASSES
    kept = Predictions.load(store.run_dir("r") / "predictions-test.npz")
    assert kept.probabilities.shape == (18, 3)
    examples = Examples.load(store.run_dir("r") / "examples.npz")
    assert examples.images.shape[1:] == ((32, 32, 3) if color == "rgb" else (32, 32))


@pytest.mark.parametrize("write", [write_voc, write_coco, write_csv])
def test_true_boxes_are_those_of_the_largest_objects(
    write: Callable[..., str], tmp_path: Path
) -> None:
    data = data_of(write(tmp_path / "set", DRAWN))
    assert isinstance(data, PhotoData)
    part = data.images.train
    by_stem = {photo.name: photo for photo in DRAWN}
    back = to_source(part.boxes, part.placement)
    for name, box, label in zip(part.names, back, part.labels, strict=True):
        main = by_stem[Path(name).stem].things[0]
        assert CLASSES[label] == main.name
        assert box == pytest.approx(main.box, abs=1e-3)


def test_statistics_and_previews_of_photos(bench: Bench, source: str, store: Store) -> None:
    code, said, _ = bench(f"data stats --dataset {source} --json")
    assert code == 0
    assert json.loads(said)["photos_by_class"] == dict.fromkeys(CLASSES, 30)
    code, said, _ = bench(f"data stats --dataset {source}")
    assert code == 0
    assert re.search(r"disc +30 \( 33\.3%\) +30", said)
    assert "problems: none" in said
    code, said, _ = bench(f"data preview --dataset {source} --canvas-px 32 --split validation")
    assert code == 0
    assert (store.root / "preview-voc-validation.png").is_file()


@pytest.mark.parametrize("dataset", ["photos", "digits"])
def test_exported_scenes_are_those_of_a_run_in_other_tools(
    bench: Bench, source: str, store: Store, dataset: str
) -> None:
    options = f"--dataset {source if dataset == 'photos' else 'digits --scene hard'} "
    options += "--canvas-px 64 --split train --split test --most 12 --epoch 2"
    code, said, errors = bench(f"data export out {options}")
    assert (code, errors) == (0, "")
    assert "12 test scenes of" in said
    wanted = config(source if dataset == "photos" else "digits", canvas_px=64)
    if dataset == "digits":
        wanted = dataclasses.replace(wanted, scene="hard")
    data = load(wanted, None, say=pytest.fail)
    for split, scenes in (
        ("train", data.train_scenes(2, np.arange(12))), ("test", data.open_test())
    ):  # fmt: skip
        coco = COCO(f"out/{split}/instances.json")
        assert len(coco.getImgIds()) == 12
        for index in range(12):
            (each,) = coco.loadAnns(coco.getAnnIds(imgIds=[index]))
            x, y, width, height = each["bbox"]
            edges = np.array([x, y, x + width, y + height]) / 64
            assert edges == pytest.approx(scenes.boxes[index], abs=1e-6)
            (category,) = coco.loadCats([each["category_id"]])
            names = data.class_names or tuple("0123456789")
            assert category["name"] == names[scenes.labels[index]]
            if dataset == "digits":
                assert each["attributes"]["clutter"] == scenes.factors["clutter"][index]
    code, _, said = bench(f"data export out {options}")
    assert code == 0, "an earlier export may be replaced"
    Path("mine").mkdir()
    Path("mine/train").mkdir()
    Path("mine/train/thesis.tex").write_text("mine")
    code, _, said = bench(f"data export mine {options}")
    assert (code, "must be new, empty or an earlier export" in said) == (2, True)
