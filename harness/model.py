"""Builds the network of a run: a backbone from the registry with the shared heads on top."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from architectures import registry
from architectures.heads import attach_heads
from harness.config import Precision, RunConfig
from harness.errors import PluginError
from harness.flops import Counted, count
from harness.record import Layer, Measure, ModelFacts, Part
from harness.tf_keras import keras


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """What decides a network but for its weights.

    Attributes:
        backbone: a name in `architectures.registry`.
        options: of the backbone, those that are set.
        head: a name in `architectures.builtin.HEADS`, or `package.module:function`.
        image_shape: height, width and channels of an image.
        classes: number of classes.
        precision: Keras's dtype policy of its layers.
    """

    backbone: str
    options: tuple[tuple[str, registry.Option], ...] = ()
    head: str = "dense"
    image_shape: tuple[int, int, int]
    classes: int
    precision: Precision = "float32"

    @property
    def scene_shape(self) -> tuple[int, ...]:
        """Return the shape in which `Scenes` hold an image: grey ones have no channel axis."""
        return self.image_shape if self.image_shape[2] > 1 else self.image_shape[:2]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Network:
    """A built network.

    Attributes:
        model: from float32 images `[n, height, width, channels]` in [0, 1] to
            (`classification` `[n, classes]`, `bounding_box` `[n, 4]`).
        body: the backbone in it, the same layers, from images to features.
    """

    model: keras.Model
    body: keras.Model


def blueprint(config: RunConfig, *, image_shape: tuple[int, int, int], classes: int) -> Blueprint:
    """Return what a configuration says of its network."""
    return Blueprint(
        backbone=config.backbone,
        options=tuple(config.backbone_options().items()),
        head=config.head,
        image_shape=image_shape,
        classes=classes,
        precision=config.precision,
    )


def build(plan: Blueprint, *, seed: int) -> Network:
    """Build backbone and heads with weights that depend on `seed` alone.

    Args:
        plan: what to build.
        seed: seeds Keras, NumPy and Python for the initializers.

    Raises:
        UsageError: backbone or head are unknown, or do not fit the images or each other.
        PluginError: backbone or head cannot be imported or built.
    """
    keras.utils.set_random_seed(seed)
    with _computing_in(plan.precision):
        body = registry.get(plan.backbone)(plan.image_shape, **dict(plan.options))
        return Network(model=attach_heads(body, plan.classes, plan.head), body=body)


@contextlib.contextmanager
def _computing_in(precision: Precision) -> Iterator[None]:
    """Give the layers made in this block a dtype policy, and those made later the one before.

    Raises:
        PluginError: of the block; under another precision than float32 it says so.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    except PluginError as error:
        if precision == "float32":
            raise
        raise PluginError(
            f"{error} This was under --precision {precision}: float32 may do."
        ) from error
    finally:
        keras.config.set_dtype_policy(before)


def facts(network: Network) -> tuple[ModelFacts, Measure]:
    """Return size and layers of a network, and MFLOP of one image's forward pass."""
    counted = count(network.model)
    body = {id(layer) for layer in _flat(network.body)}
    layers = tuple(
        _layer(layer, "backbone" if id(layer) in body else "head", counted)
        for layer in _flat(network.model)
    )
    model_facts = ModelFacts(
        parameters=network.model.count_params(),
        backbone_parameters=network.body.count_params(),
        layers=layers,
    )
    if counted.multiply_adds is None:
        return model_facts, Measure(reason=counted.reason)
    return model_facts, Measure(value=2 * counted.multiply_adds / 1e6)


def _flat(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield the layers in order, nested functional and sequential models opened."""
    for layer in model.layers:
        # The parts of a subclassed model have no outputs of their own to show.
        if isinstance(layer, keras.Model) and getattr(layer, "inputs", None):
            yield from _flat(layer)
        else:
            yield layer


def _layer(layer: keras.layers.Layer, part: Part, counted: Counted) -> Layer:
    first, *_ = keras.tree.flatten(layer.output)
    return Layer(
        name=layer.name,
        kind=type(layer).__name__,
        output_shape=tuple(first.shape[1:]),
        parameters=layer.count_params(),
        part=part,
        multiply_adds=counted.of(layer),
    )
