"""The heads that every backbone shares: which digit, and where."""

from __future__ import annotations

from typing import Any

import keras

from harness.errors import PluginError, UsageError

CLASSIFICATION = "classification"
BOUNDING_BOX = "bounding_box"


def attach_heads(body: keras.Model, classes: int) -> keras.Model:
    r"""Return the backbone with two linear maps of its features on top.

    With features f of one image,

        classification = softmax(W_c f + b_c)      bounding_box = W_b f + b_b

    The box is linear, not squashed: a prediction outside the image stays visible as such.
    The layers of the backbone are shared with `body`, not copied or wrapped, so that a layer
    table shows them one by one.

    Args:
        body: functional model from images to float `[n, features]`.
        classes: number of classes, at least 2.

    Returns:
        Model from images to a list of two: `classification`, float32 `[n, classes]`, in [0, 1]
        with sum 1; `bounding_box`, float32 `[n, 4]`, unbounded, see `harness.boxes`. Both are
        float32 under mixed precision too: a softmax in half precision rounds rare classes to 0.

    Raises:
        PluginError: `body` is no functional model with one image input and one `[n, features]`
            output.
        UsageError: there are fewer than 2 classes.
    """
    if classes < 2:
        raise UsageError(f"`classes` must be at least 2, got {classes}.")
    features = features_of(body)
    probabilities = keras.layers.Dense(
        classes, activation="softmax", dtype="float32", name=CLASSIFICATION
    )(features)
    box = keras.layers.Dense(4, dtype="float32", name=BOUNDING_BOX)(features)
    return keras.Model(body.inputs[0], [probabilities, box], name=f"{body.name}_with_heads")


def features_of(body: object) -> Any:
    """Return the symbolic output of a backbone, float `[n, features]`.

    Raises:
        PluginError: it is no functional model with one image input and one such output.
    """
    if not isinstance(body, keras.Model):
        raise PluginError(f"A backbone must return a keras.Model, got {type(body).__name__}.")
    # A subclassed or unbuilt model has no symbolic tensors at all.
    inputs, outputs = (getattr(body, side, None) or [] for side in ("inputs", "outputs"))
    if len(inputs) != 1 or len(outputs) != 1:
        raise PluginError(
            f"Backbone model {body.name!r} must be functional with one input and one output, got "
            f"{len(inputs)} and {len(outputs)}. Build it as keras.Model(inputs, features)."
        )
    shape = tuple(outputs[0].shape)
    if len(shape) != 2 or shape[1] is None:
        raise PluginError(
            f"Backbone model {body.name!r} must end in features of shape (None, width), got "
            f"{shape}. End it with Flatten or GlobalAveragePooling2D."
        )
    return outputs[0]
