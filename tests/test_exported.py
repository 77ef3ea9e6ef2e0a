"""Networks for others: what is written predicts what the run did, with and without bench."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import nets  # noqa: F401 - the backbones named below
import numpy as np
import pytest

from harness.boxes import iou
from harness.config import RunConfig
from harness.data import load
from harness.draft import Identity
from harness.errors import ExportError, StoreError
from harness.exported import (
    CARD_FILE,
    KERAS_FILE,
    OUTPUTS,
    SAVED_MODEL,
    Checked,
    card,
    checked_weights,
    deployable,
    export,
    trained,
)
from harness.predictions import Examples, Predictions
from harness.record import Role, RunRecord
from harness.run import execute
from harness.store import Store, file_digest
from harness.tf_keras import keras
from harness.weights import WEIGHTS_FILE, save_weights

CONFIG = RunConfig(
    backbone="nets:normalised", dataset="digits", epochs=2, batch_size=16, train_examples=120,
    strategy="cpu", learning_rate=3e-3,
)  # fmt: skip


def go(root: Path, role: Role = "run", **changes: object) -> tuple[RunRecord, Path]:
    store = Store(root)
    record = execute(
        dataclasses.replace(CONFIG, **changes), identity=Identity(run_id="r", role=role),  # type: ignore[arg-type]
        store=store, data_dir=None,
    )  # fmt: skip
    assert record.status == "finished", record.reason
    return record, store.run_dir("r")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunRecord, Path]:
    return go(tmp_path_factory.mktemp("ran"))


@pytest.fixture(scope="module")
def written(ran: tuple[RunRecord, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("written") / "export"
    checked = export(*ran, to)
    assert checked.scenes == len(Examples.load(ran[1] / "examples.npz").ids)
    assert checked.largest_box_difference < 1e-5
    return to


def test_only_runs_and_finals_keep_weights(tmp_path: Path) -> None:
    for role, kept in (("trial", False), ("final", True)):
        record, folder = go(tmp_path / role, role, epochs=1)
        assert (folder / WEIGHTS_FILE).is_file() is kept
        assert (WEIGHTS_FILE in record.files) is kept


def test_the_kept_weights_predict_the_whole_test_split(ran: tuple[RunRecord, Path]) -> None:
    record, folder = ran
    model = deployable(record, folder)
    scenes = load(CONFIG, None, say=print).open_test()
    outputs = model.predict(scenes.images[..., np.newaxis], verbose=0)
    kept = Predictions.load(folder / "predictions-test.npz")
    assert np.abs(outputs["probabilities"] - kept.probabilities).max() < 1e-5
    assert np.abs(outputs["box"] - kept.predicted_boxes).max() < 1e-5
    assert outputs["class_index"].tolist() == kept.probabilities.argmax(1).tolist()
    names = [name.decode() for name in outputs["class_name"]]
    assert names == [str(index) for index in outputs["class_index"]]
    assert iou(kept.boxes, outputs["box"]).mean() == pytest.approx(record.value("test_mean_iou"))


def test_keras_reads_it_alone(written: Path, ran: tuple[RunRecord, Path]) -> None:
    code = f"""
import sys, keras, numpy as np
model = keras.saving.load_model({str(written / KERAS_FILE)!r})
images = np.load({str(ran[1] / "examples.npz")!r})["images"][..., None]
assert not [name for name in sys.modules if name.split(".")[0] in ("harness", "architectures")]
print(model(images)["class_index"].numpy().tolist())
"""
    assert told(code) == classes(ran[1])


def test_tensorflow_reads_it_alone(written: Path, ran: tuple[RunRecord, Path]) -> None:
    code = f"""
import sys, numpy as np, tensorflow as tf
serve = (kept := tf.saved_model.load({str(written / SAVED_MODEL)!r})).signatures["serving_default"]
images = np.load({str(ran[1] / "examples.npz")!r})["images"][..., None]
assert not [name for name in sys.modules if name.split(".")[0] in ("harness", "architectures")]
found = serve(images=tf.constant(images))
assert sorted(found) == {sorted(OUTPUTS)}
assert [n.decode() for n in found["class_name"].numpy()] == [
    str(i) for i in found["class_index"].numpy()]
print(found["class_index"].numpy().tolist())
"""
    assert told(code) == classes(ran[1])


def told(code: str) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    found: list[int] = json.loads(done.stdout.splitlines()[-1])
    return found


def classes(folder: Path) -> list[int]:
    found: list[int] = Examples.load(folder / "examples.npz").predicted_labels.tolist()
    return found


def test_the_card_says_what_it_is(written: Path, ran: tuple[RunRecord, Path]) -> None:
    said = json.loads((written / CARD_FILE).read_text())
    assert said["run_id"] == "r"
    assert said["class_names"] == list("0123456789")
    assert said["input"] == {"name": "images", "dtype": "uint8", "shape": [None, 75, 75, 1]}
    assert said["measures"]["test_score"] == ran[0].value("test_score")
    assert said["weights_sha256"] == file_digest(ran[1] / WEIGHTS_FILE)
    assert {"version", "config", "outputs", "box", "data", "packages", "checked"} < set(said)


def test_changed_weights_are_refused(ran: tuple[RunRecord, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ran[1], tmp_path / "r"))
    bytes_ = bytearray((folder / WEIGHTS_FILE).read_bytes())
    bytes_[len(bytes_) // 2] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(bytes_)
    with pytest.raises(StoreError, match=r"must be what the record of r names"):
        checked_weights(ran[0], folder)
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(StoreError, match=r"is missing, changed or damaged"):
        export(ran[0], folder, tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_another_network_is_refused(ran: tuple[RunRecord, Path], tmp_path: Path) -> None:
    record, folder = ran
    weights = checked_weights(record, folder)
    assert record.data
    other = dataclasses.replace(record.config, backbone="nets:tiny")
    with pytest.raises(ExportError, match=r"must fit the network that 'nets:tiny' names today"):
        trained(other, record.data, weights)
    with pytest.raises(ExportError, match=r"has shape \(3, 3, 1, 4\) in it"):
        trained(record.config, record.data, [weights[0][:1], *weights[1:]])


def test_what_predicts_something_else_is_not_left_behind(
    ran: tuple[RunRecord, Path], written: Path, tmp_path: Path
) -> None:
    record, _ = ran
    folder = Path(shutil.copytree(ran[1], tmp_path / "r"))
    weights = checked_weights(record, folder)
    weights[-1] = weights[-1] + np.float32(0.01)  # the bias of the box
    save_weights(folder / WEIGHTS_FILE, ["x"] * len(weights), weights)
    files = {**record.files, WEIGHTS_FILE: file_digest(folder / WEIGHTS_FILE)}
    to = Path(shutil.copytree(written, tmp_path / "to"))
    before = (to / CARD_FILE).read_bytes()
    with pytest.raises(ExportError, match=r"\d+ of \d+ scenes differ, a box by 0\.01"):
        export(dataclasses.replace(record, files=files), folder, to)
    assert (to / CARD_FILE).read_bytes() == before, "the older export stays"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r", "to"]


def test_half_precision_is_exported_too(tmp_path: Path) -> None:
    record, folder = go(tmp_path, epochs=1, precision="mixed_bfloat16")
    export(record, folder, tmp_path / "export")
    model = keras.saving.load_model(tmp_path / "export" / KERAS_FILE)
    assert model.output["box"].dtype == "float32"


def test_a_card_needs_no_machine(ran: tuple[RunRecord, Path]) -> None:
    record = dataclasses.replace(ran[0], machine=None)
    assert card(record, Checked(scenes=1, largest_box_difference=0.0))["packages"] == {}
