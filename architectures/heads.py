"""The heads that every backbone shares: which digit, and where.

A head is a function from features and a number of classes to two outputs, class probabilities and
a box. It is chosen by name, or by its place `package.module:function`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from architectures.places import find_place
from architectures.registry import check_head
from architectures.soft_argmax import CentredBox, SoftArgmax
from harness.errors import BenchError, PluginError, UsageError

CLASSIFICATION = "classification"
BOUNDING_BOX = "bounding_box"

Head = Callable[[Any, int], tuple[Any, Any]]
"""From features and a number of classes to (probabilities `[n, classes]`, box `[n, 4]`)."""


def dense(features: Any, classes: int) -> tuple[Any, Any]:
    r"""Two linear maps of all features.

    With f the features of one image, a map flattened to a vector,

        classification = softmax(W_c f + b_c)      bounding_box = W_b f + b_b

    The box is linear, not squashed: a prediction outside the image stays visible as such.
    """
    if len(features.shape) > 2:
        features = keras.layers.Flatten(name="head_flatten")(features)
    return _classification(features, classes), _linear_box(features)


def pooled(features: Any, classes: int) -> tuple[Any, Any]:
    """Two linear maps of the mean over a feature map.

    What classifiers do. The mean forgets the place but for what padding and receptive fields
    betray of it, so boxes suffer: a contestant to show that, not one to win.
    """
    _need_map("pooled", features)
    features = keras.layers.GlobalAveragePooling2D(name="head_pool")(features)
    return _classification(features, classes), _linear_box(features)


def soft_argmax(features: Any, classes: int) -> tuple[Any, Any]:
    r"""Attention over the places of a feature map: where it looks is the middle of the box.

    With the features f_p at the places p = (x, y) of the map, in fractions of the image,

        a = softmax over p of w . f_p + b
        centre = sum over p of a_p p           (soft-argmax)
        g = sum over p of a_p f_p              (features of what is looked at)
        classification = softmax(W_c g + b_c)
        (dx, dy, width, height) = W_b g + b_b
        bounding_box = [c_x - width / 2, c_y - height / 2, c_x + width / 2, c_y + height / 2]
            with c = centre + (dx, dy)

    A digit that moves by one cell moves the centre by one cell and changes nothing else, which a
    dense layer has to learn place by place.

    Source: the expectation of coordinates under a spatial softmax, Levine et al. 2016 (End-to-End
    Training of Deep Visuomotor Policies, section 4.1) and Sun et al. 2018 (Integral Human Pose
    Regression).
    """
    _need_map("soft-argmax", features)
    attention = keras.layers.Conv2D(1, 1, dtype="float32", name="head_attention")(features)
    looked_at, centre = SoftArgmax(dtype="float32", name="head_soft_argmax")([features, attention])
    # A box of half the image to start from: one without area has no IoU to improve.
    start = keras.initializers.Constant((0.0, 0.0, 0.5, 0.5))
    raw = keras.layers.Dense(4, bias_initializer=start, dtype="float32", name="head_size")(
        looked_at
    )
    box = CentredBox(dtype="float32", name=BOUNDING_BOX)([centre, raw])
    return _classification(looked_at, classes), box


_BUILTIN: dict[str, Head] = {"dense": dense, "pooled": pooled, "soft-argmax": soft_argmax}


def get_head(name: str) -> Head:
    """Return a head by its name, or by its place `package.module:function`.

    Raises:
        UsageError: the name is unknown.
        PluginError: the place cannot be imported or holds no function.
    """
    check_head(name)
    if name in _BUILTIN:
        return _BUILTIN[name]
    head: Head = find_place("head", name)
    return head


def attach_heads(body: keras.Model, classes: int, head: str = "dense") -> keras.Model:
    """Return the backbone with both outputs on top.

    The layers of the backbone are shared with `body`, not copied or wrapped, so that a layer
    table shows them one by one.

    Args:
        body: functional model from images to float `[n, features]`, or to a feature map, float
            `[n, rows, columns, channels]`.
        classes: number of classes, at least 2.
        head: a name in `architectures.builtin.HEADS`, or `package.module:function`.

    Returns:
        Model from images to a list of two: `classification`, float32 `[n, classes]`, in [0, 1]
        with sum 1; `bounding_box`, float32 `[n, 4]`, unbounded, see `harness.boxes`. Both are
        float32 under mixed precision too: a softmax in half precision rounds rare classes to 0.

    Raises:
        PluginError: `body` is no functional model with one image input and one such output, or a
            plug-in head fails.
        UsageError: there are fewer than 2 classes, or the head does not fit the features.
    """
    if classes < 2:
        raise UsageError(f"`classes` must be at least 2, got {classes}.")
    features = features_of(body)
    outputs = list(_outputs(get_head(head), head, features, classes))
    name = f"{body.name}_with_heads"
    model = keras.Model(body.inputs[0], outputs, name=name)
    if model.output_names == [CLASSIFICATION, BOUNDING_BOX]:
        return model
    same = [_as(outputs[0], CLASSIFICATION), _as(outputs[1], BOUNDING_BOX)]
    return keras.Model(body.inputs[0], same, name=name)


def features_of(body: object) -> Any:
    """Return the symbolic output of a backbone.

    Raises:
        PluginError: it is no functional model with one image input and one output of shape
            `[n, features]` or `[n, rows, columns, channels]`.
    """
    if not isinstance(body, keras.Model):
        raise PluginError(
            f"A backbone must return a keras.Model, got {type(body).__name__}. End its function "
            "with `return keras.Model(inputs, features)`."
        )
    # A subclassed or unbuilt model has no symbolic tensors at all.
    inputs, outputs = (getattr(body, side, None) or [] for side in ("inputs", "outputs"))
    if len(inputs) != 1 or len(outputs) != 1:
        raise PluginError(
            f"Backbone model {body.name!r} must be functional with one input and one output, got "
            f"{len(inputs)} and {len(outputs)}. Build it as keras.Model(inputs, features)."
        )
    shape = tuple(outputs[0].shape)
    if len(shape) not in (2, 4) or None in shape[1:]:
        raise PluginError(
            f"Backbone model {body.name!r} must end in features (None, width) or in a map "
            f"(None, rows, columns, channels), got {shape}. End it with the last convolution, "
            "Flatten or GlobalAveragePooling2D."
        )
    return outputs[0]


def _outputs(head: Head, name: str, features: Any, classes: int) -> tuple[Any, Any]:
    """Call a head and check the shapes of what it returns."""
    try:
        probabilities, box = head(features, classes)
        shapes = tuple(probabilities.shape[1:]), tuple(box.shape[1:])
    except BenchError:
        raise
    except Exception as error:
        raise PluginError(
            f"Head {name!r} must return (probabilities, box) for features of shape "
            f"{tuple(features.shape)}, but it raised {type(error).__name__}: {error}"
        ) from error
    if shapes != ((classes,), (4,)):
        raise PluginError(
            f"Head {name!r} must return probabilities (None, {classes}) and a box (None, 4), got "
            f"shapes {tuple(probabilities.shape)} and {tuple(box.shape)}."
        )
    return probabilities, box


def _as(output: Any, name: str) -> Any:
    """Return the same output, float32, under the name of a layer."""
    return keras.layers.Activation("linear", dtype="float32", name=name)(output)


def _classification(features: Any, classes: int) -> Any:
    return keras.layers.Dense(classes, activation="softmax", dtype="float32", name=CLASSIFICATION)(
        features
    )


def _linear_box(features: Any) -> Any:
    return keras.layers.Dense(4, dtype="float32", name=BOUNDING_BOX)(features)


def _need_map(name: str, features: Any) -> None:
    if len(features.shape) != 4:
        raise UsageError(
            f"Head {name!r} needs a backbone that ends in a feature map, but this one ends in "
            f"features of shape {tuple(features.shape)}. Use --head dense, or a backbone such as "
            "patch-s."
        )
