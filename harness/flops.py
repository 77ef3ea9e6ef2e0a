"""Counts the multiply-adds of a network's forward pass by walking the graph TensorFlow traces.

The graph is what runs, whatever layers a plug-in is made of: no layer's formula has to be known.
What is counted, and by whose convention, is said in `harness.products`; one multiply-add (MAC) is
2 FLOP.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.plain_words import in_words
from harness.products import Uncountable, multiply_adds
from harness.tf_keras import keras, tf


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counted:
    """The multiply-adds of one image's forward pass at inference.

    Attributes:
        multiply_adds: of the whole network; None if they cannot be counted.
        reason: why there is no total; None if there is one.
        operations: those of each layer and functional operation, all its calls together; None
            for one whose own cannot be counted. Empty if nothing could be counted.
    """

    multiply_adds: int | None = None
    reason: str | None = None
    operations: Mapping[keras.Operation, int | None] = field(default_factory=dict)

    def of(self, operation: keras.Operation) -> int | None:
        """Return the multiply-adds of a layer, or None if they cannot be counted."""
        return self.operations.get(operation)


def count(model: keras.Model, image_shape: tuple[int, int, int] | None = None) -> Counted:
    """Count the multiply-adds of one image.

    Nested functional and sequential models are opened, so that each of their layers is counted
    by itself; the parts of any other layer count as that layer's. What runs between the layers
    (none of the built-in networks has such) is in the total alone.

    Args:
        model: a built model from images `[n, height, width, channels]`; it is left as it was.
        image_shape: height, width and channels; those of the model's input by default.

    Returns:
        The total, or the reason why there is none: the model cannot be traced, repeats products
        in a loop of unknown length, or uses a kind of product that is not known here.
    """
    operations = list(_opened(model))
    try:
        graph = _traced(model, image_shape or tuple(model.inputs[0].shape[1:]), operations)
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; the reason says it
        return Counted(reason=f"the network cannot be traced: {in_words(error)}")
    products, reasons = _tally(graph)
    found = {
        operation: None if place in reasons else products[place]
        for place, operation in enumerate(operations)
    }
    if not reasons:
        return Counted(multiply_adds=products.total(), operations=found)
    place, why = next(iter(reasons.items()))
    name = model.name if place is None else operations[place].name
    return Counted(reason=f"in {name!r} {why}", operations=found)


def _opened(model: keras.Model) -> Iterator[keras.Operation]:
    """Yield layers and functional operations once each, nested models opened."""
    seen = set()
    for operation in getattr(model, "operations", model.layers):
        inner = [operation]
        if isinstance(operation, keras.Model) and getattr(operation, "inputs", None):
            inner = list(_opened(operation))
        yield from (one for one in inner if one not in seen)
        seen.update(inner)


def _traced(
    model: keras.Model, image_shape: tuple[int, int, int], operations: Sequence[keras.Operation]
) -> Any:
    """Return the graph of the forward pass of one image."""

    def forward(images: Any) -> Any:
        return model(images, training=False)

    def graph() -> Any:
        spec = tf.TensorSpec((1, *image_shape), tf.float32)
        return tf.function(forward, autograph=False).get_concrete_function(spec).graph

    with _marked(operations):
        # Inlined first: a `tf.function` in a layer may be kept from a trace for batches of any
        # length, without the shapes of one image.
        with contextlib.suppress(Exception), _inlined():
            return graph()
        return graph()  # some functions only work as TensorFlow's autograph rewrites them


@contextlib.contextmanager
def _inlined() -> Iterator[None]:
    """Trace functions called within another as a part of it."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)  # noqa: FBT003 - TensorFlow's signature
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


@contextlib.contextmanager
def _marked(operations: Sequence[keras.Operation]) -> Iterator[None]:
    """Let each operation's number stand in the names of all graph operations it makes.

    Keras's own name scopes do not tell layers apart: TensorFlow numbers repeated names on, so
    that the second call of a layer `conv` may be named `conv_1`, as another layer is.
    """
    before = [vars(operation).get("call") for operation in operations]
    try:
        for place, operation in enumerate(operations):
            operation.call = _scoped(operation.call, f"products.{place}")
        yield
    finally:
        for operation, own in zip(operations, before, strict=True):
            if own is not None:
                operation.call = own
            elif "call" in vars(operation):
                del operation.call


def _scoped(call: Callable[..., Any], name: str) -> Callable[..., Any]:
    def scoped(*args: Any, **kwargs: Any) -> Any:
        with tf.name_scope(name):
            return call(*args, **kwargs)

    return scoped


_MARK = re.compile(r"(?:^|/)products\.(\d+)(?:_\d+)?(?=/)")


def _place(name: str) -> int | None:
    """Return the number of the innermost marked operation that made a graph operation."""
    marks = _MARK.findall(name)
    return int(marks[-1]) if marks else None


def _tally(graph: Any) -> tuple[Counter[int | None], dict[int | None, str]]:
    """Return multiply-adds by number of operation, and why some have none."""
    products: Counter[int | None] = Counter()
    reasons: dict[int | None, str] = {}
    for op in _used(graph):
        place = _place(op.name)
        try:
            products[place] += _cost(op)
        except Uncountable as error:
            reasons.setdefault(place, str(error))
    return products, reasons


def _cost(op: Any) -> int:
    """Return the multiply-adds of a graph operation and of the functions it calls.

    Raises:
        Uncountable: they depend on what happens while it runs, or are unknown.
    """
    inside = [sum(map(_cost, _used(body))) for body in _bodies(op)]
    match op.type:
        case _ if not inside:
            return multiply_adds(op)
        case "PartitionedCall" | "StatefulPartitionedCall":
            return sum(inside)
        case _ if not any(inside):
            return 0
        case "If" | "StatelessIf" | "Case" | "StatelessCase" if len(set(inside)) == 1:
            return inside[0]
        case "If" | "StatelessIf" | "Case" | "StatelessCase":
            raise Uncountable("the image decides which products are made")
        case _:
            raise Uncountable(f"products are repeated in a loop of unknown length ({op.type})")


def _bodies(op: Any) -> list[Any]:
    """Return the graphs of the functions that an operation calls."""
    names = []
    for attribute in op.op_def.attr if op.op_def else ():
        if attribute.type == "func":
            names.append(op.get_attr(attribute.name).name)
        elif attribute.type == "list(func)":
            names.extend(function.name for function in op.get_attr(attribute.name))
    # TensorFlow has no public way from a call to its function.
    functions = [op.graph._get_function(name) for name in names if name]  # noqa: SLF001
    if None in functions:
        raise Uncountable(f"a {op.type} operation calls a function that is not in the graph")
    return [function.graph for function in functions]


def _used(graph: Any) -> list[Any]:
    """Return the operations that the outputs need; TensorFlow leaves out the others."""
    waiting = [tensor.op for tensor in graph.outputs] + list(graph.control_outputs)
    used = {}
    while waiting:
        op = waiting.pop()
        if op.name not in used:
            used[op.name] = op
            waiting += [tensor.op for tensor in op.inputs] + list(op.control_inputs)
    return list(used.values())
