"""A trained network as others use it: images in, class names and boxes out, in two formats.

model.keras     for Keras; networks with layers of bench need `import architectures` to load
saved_model/    for TensorFlow alone: signature `serving_default`, no code of bench
model.json      what it is, where it came from, and what it was checked against
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.config import RunConfig
from harness.datasets import has_photos
from harness.errors import ExportError, StoreError
from harness.model import blueprint, build
from harness.predictions import EXAMPLES_FILE, Examples
from harness.record import DataIdentity, RunRecord
from harness.store import cannot_write, file_digest, replace_folder, write_atomically
from harness.tf_keras import keras, tf
from harness.weights import WEIGHTS_FILE, load_weights

KERAS_FILE, SAVED_MODEL, CARD_FILE = "model.keras", "saved_model", "model.json"
IMAGES = "images"
OUTPUTS = ("class_name", "class_index", "probabilities", "box")

BOX_TOLERANCE = {"float32": 1e-3, "mixed_bfloat16": 0.05, "mixed_float16": 0.01}
"""How far a box may be off by precision, in fractions of the image. Other processors and batch
sizes round differently; another network is far off."""

CARD_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """How an exported network agrees with what its run predicted for the scenes that it kept.

    Attributes:
        scenes: how many were predicted again.
        largest_box_difference: of any side of any box, in fractions of the image.
    """

    scenes: int
    largest_box_difference: float


def deployable(record: RunRecord, folder: Path) -> keras.Model:
    """Return the trained network with its preprocessing in front and class names behind.

    Args:
        record: of the run.
        folder: holds its weights.

    Returns:
        Model from images, uint8 `[n, height, width, channels]`, 0 to 255, to a dictionary:
        `class_name` string `[n]`, `class_index` int32 `[n]`, `probabilities` float32
        `[n, classes]` with sum 1, `box` float32 `[n, 4]`, see `harness.boxes`, not clipped.

    Raises:
        StoreError: the weights are missing or are not those of the record.
        ExportError: they do not fit the network that this release builds.
        PluginError: backbone or head cannot be built.
    """
    assert record.data, "a run with weights has data"
    network = trained(record.config, record.data, checked_weights(record, folder))
    shape = image_shape(record.data)
    images = keras.Input(shape, dtype="uint8", name=IMAGES)
    scaled = keras.layers.Rescaling(1 / 255, dtype="float32", name="intensities")(images)
    probabilities, box = network(scaled)
    index = keras.ops.argmax(probabilities, axis=-1)
    named = keras.layers.StringLookup(
        vocabulary=list(class_names(record.data)), num_oov_indices=0, invert=True,
        name="class_name",
    )(index)  # fmt: skip
    outputs = dict(zip(OUTPUTS, (named, index, probabilities, box), strict=True))
    return keras.Model(images, outputs, name="locator")


def trained(config: RunConfig, data: DataIdentity, weights: Sequence[NDArray[Any]]) -> keras.Model:
    """Return the network of a run with these weights.

    Raises:
        ExportError: they do not fit the network that this release builds.
        UsageError, PluginError: backbone or head are not there, or cannot be built.
    """
    plan = blueprint(config, image_shape=image_shape(data), classes=data.classes)
    model = build(plan, seed=0).model
    wanted = [(variable.path, tuple(variable.shape)) for variable in model.variables]
    found = [array.shape for array in weights]
    if [shape for _, shape in wanted] != found:
        other = next(
            (f"{path} has shape {shape} in it" for (path, shape), there in zip(wanted, found)  # noqa: B905
             if shape != there),
            f"it has {len(wanted)} variables instead of {len(found)}",
        )  # fmt: skip
        raise ExportError(
            f"The weights must fit the network that {config.backbone!r} names today, but {other}. "
            "Use the release of bench, or of the plug-in, that trained it."
        )
    for variable, array in zip(model.variables, weights, strict=True):
        variable.assign(array)
    return model


def checked_weights(record: RunRecord, folder: Path) -> list[NDArray[Any]]:
    """Return the weights of a run, if they are those that its record names.

    Raises:
        StoreError: they are missing, changed or damaged.
    """
    path = folder / WEIGHTS_FILE
    if not path.is_file() or file_digest(path) != record.files.get(WEIGHTS_FILE):
        raise StoreError(
            f"{path} must be what the record of {record.run_id} names, but is missing, changed "
            "or damaged. Fetch or train the run again."
        )
    return load_weights(path)


def image_shape(data: DataIdentity) -> tuple[int, int, int]:
    """Return height, width and channels of an image of these data."""
    return (data.image_px, data.image_px, data.channels)


def class_names(data: DataIdentity) -> tuple[str, ...]:
    """Return what the classes are called, in the order of their indices."""
    return data.class_names or tuple(str(index) for index in range(data.classes))


def knows_black_only(config: RunConfig) -> bool:
    """Return whether a network has seen nothing but light digits on black ground."""
    return not has_photos(config.dataset) and config.scene_spec().background == "black"


def export(record: RunRecord, folder: Path, to: Path) -> Checked:
    """Write a trained network in both formats and check what was written.

    Both are read again and predict the scenes that the run kept: each class must be the same and
    each box within `BOX_TOLERANCE`. The folder is there whole and checked, or as it was.

    Args:
        record: of a run.
        folder: of its files.
        to: folder to make, or to replace.

    Raises:
        StoreError: files of the run are missing or damaged, or `to` cannot be written.
        ExportError: the network cannot be built or saved, or predicts something else.
    """
    model = deployable(record, folder)
    examples = Examples.load(folder / EXAMPLES_FILE)
    to = to.absolute()
    fresh = to.with_name(f".{to.name}.{secrets.token_hex(4)}")
    try:
        fresh.mkdir(parents=True)
        checked = _written(model, examples, fresh, record)
        replace_folder(to, fresh)
    except OSError as error:
        raise cannot_write(to, error) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return checked


def _written(model: keras.Model, examples: Examples, folder: Path, record: RunRecord) -> Checked:
    model.save(folder / KERAS_FILE)
    save_served(model, folder / SAVED_MODEL)
    tolerance = BOX_TOLERANCE[record.config.precision]
    checks = [
        _check(serve(_images(examples)), examples, tolerance)
        for serve in (_keras_predictor(folder / KERAS_FILE), loaded(folder))
    ]
    checked = max(checks, key=lambda each: each.largest_box_difference)
    text = json.dumps(card(record, checked), indent=1, sort_keys=True) + "\n"
    write_atomically(folder / CARD_FILE, text.encode())
    return checked


class Served(tf.Module):  # type: ignore[misc] # TensorFlow has no types
    """A model as TensorFlow serves it: one function, fixed types, any number of images.

    Args:
        model: from `deployable`.
    """

    def __init__(self, model: keras.Model) -> None:
        super().__init__()
        self.model = model
        images = tf.TensorSpec([None, *model.inputs[0].shape[1:]], tf.uint8, name=IMAGES)
        self.serve = tf.function(
            lambda images: model(images, training=False), input_signature=[images]
        )
        self.__call__ = self.serve  # so that what is loaded from it can be called


def save_served(model: keras.Model, path: Path) -> None:
    """Write a SavedModel with the signature `serving_default`."""
    served = Served(model)
    tf.saved_model.save(served, str(path), signatures={"serving_default": served.serve})


def loaded(folder: Path) -> Callable[..., Mapping[str, Any]]:
    """Return the function of an export's SavedModel: images, by that keyword, to outputs."""
    kept = tf.saved_model.load(str(folder / SAVED_MODEL))
    serve = kept.signatures["serving_default"]
    # The function does not outlive what was loaded.
    return lambda images, _kept=kept: serve(images=tf.constant(images))


def card(record: RunRecord, checked: Checked) -> dict[str, Any]:
    """Return what is said of an exported network, as plain JSON values."""
    assert record.data, "a run with weights has data"
    measures = {name: m.value for name, m in record.measures.items() if m.value is not None}
    return {
        "version": CARD_VERSION,
        "run_id": record.run_id,
        "sweep": record.sweep,
        "config": record.config.to_json(),
        "class_names": class_names(record.data),
        "input": {"name": IMAGES, "dtype": "uint8", "shape": [None, *image_shape(record.data)]},
        "outputs": list(OUTPUTS),
        "black_only": knows_black_only(record.config),
        "box": "x_min, y_min, x_max, y_max in fractions of the image",
        "data": {"source": record.data.source, "digest": record.data.digest},
        "weights_sha256": record.files[WEIGHTS_FILE],
        "measures": {n: v for n, v in measures.items() if n.startswith(("test_", "validation_"))},
        "packages": dict(record.machine.packages) if record.machine else {},
        "checked": {
            "scenes": checked.scenes,
            "largest_box_difference": checked.largest_box_difference,
        },
    }


def _keras_predictor(path: Path) -> Callable[[NDArray[np.uint8]], Mapping[str, Any]]:
    try:
        model = keras.saving.load_model(path)
    # Layers of a plug-in may raise anything when they are built from their own configuration.
    except Exception as error:
        raise ExportError(
            f"The network must load again from {path.name}, but: {error}. `bench check` tells "
            "what a backbone of one's own needs for that."
        ) from error
    return lambda images: model(images, training=False)


def _images(examples: Examples) -> NDArray[np.uint8]:
    """Return the kept scenes as a model takes them: uint8 `[k, height, width, channels]`."""
    images = examples.images
    return images if images.ndim == 4 else images[..., np.newaxis]


def _check(outputs: Mapping[str, Any], examples: Examples, tolerance: float) -> Checked:
    classes = np.asarray(outputs["class_index"])
    apart = np.abs(np.asarray(outputs["box"]) - examples.predicted_boxes)
    wrong = (classes != examples.predicted_labels) | ~(apart.max(axis=1) <= tolerance)
    if wrong.any():
        raise ExportError(
            f"The exported network must predict what its run did, but {int(wrong.sum())} of "
            f"{len(wrong)} scenes differ, a box by {float(apart.max()):.2g}. The backbone or its "
            "packages changed since it was trained: use those releases, or train it again."
        )
    return Checked(scenes=len(classes), largest_box_difference=float(apart.max()))
