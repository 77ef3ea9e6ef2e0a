"""Sums up the layers of a deep network in blocks, few enough to read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from harness.record import Layer

HEADS = ("classification", "bounding_box")
"""Names of the two outputs, in their order."""

_SPLIT = re.compile(r"[_./-]|(?<=[a-zA-Z])(?=\d)|(?<=\d)(?=[a-zA-Z])")
"""Where a word of a name ends: `block2a_conv` has the words block, 2, a and conv."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One layer, or several in a row.

    Attributes:
        name: of the layer; of several what their names begin with, or the first and the last.
        kind: class of the layer; of several those that cost something, and how many.
        layers: how many.
        output_shape: of the last, without the batch axis.
        parameters: of all.
        multiply_adds: of all, for one image; None if they were not counted.
    """

    name: str
    kind: str
    layers: int
    output_shape: tuple[int | None, ...]
    parameters: int
    multiply_adds: int | None


def split_parts(layers: Sequence[Layer]) -> tuple[tuple[Layer, ...], tuple[Layer, ...]]:
    """Return the layers of the backbone and those of the head, each in order.

    Records of the first release call all layers backbone: there the two outputs are the head.
    """
    head = [layer.part == "head" or layer.name in HEADS for layer in layers]
    parts = [
        tuple(layer for layer, inside in zip(layers, head, strict=True) if inside is wanted)
        for wanted in (False, True)
    ]
    return parts[0], parts[1]


def blocks(layers: Sequence[Layer], most: int) -> tuple[Block, ...]:
    """Return the layers one by one, or as the finest blocks of which there are at most `most`.

    Layers that follow each other belong together if their names begin with the same words
    (`stage_1_block_2`, `conv2_block1`); where names tell too little, if their outputs have the
    same height and width; if even that is too fine, in equal numbers.

    Args:
        layers: in order.
        most: at least 1.
    """
    if len(layers) <= most:
        return tuple(_single(layer) for layer in layers)
    words = max(len(_SPLIT.split(layer.name)) for layer in layers)
    for count in range(words, 0, -1):
        runs = _runs(layers, lambda layer: _beginning(layer.name, count))  # noqa: B023 - used here
        if len(runs) <= most:
            return tuple(_sum(run, _beginning(run[0].name, count)) for run in runs)
    runs = _runs(layers, lambda layer: layer.output_shape[:-1])
    if len(runs) > most:
        size = -(-len(layers) // most)  # rounded up
        runs = [tuple(layers[at : at + size]) for at in range(0, len(layers), size)]
    return tuple(_sum(run, f"{run[0].name} ... {run[-1].name}") for run in runs)


def shape_text(shape: Sequence[int | None]) -> str:
    """Return a shape such as "73 x 73 x 16"; an unknown length is "?"."""
    return " x ".join("?" if length is None else str(length) for length in shape)


def added(counts: Sequence[int | None]) -> int | None:
    """Return the sum, or None if one is not known."""
    return None if None in counts else sum(count for count in counts if count is not None)


def _runs(layers: Sequence[Layer], key: Callable[[Layer], object]) -> list[tuple[Layer, ...]]:
    return [tuple(run) for _, run in groupby(layers, key)]


def _beginning(name: str, count: int) -> str:
    """Return the first words of a name, with what stands between them."""
    ends = [end.start() for end in _SPLIT.finditer(name)]
    return name if count > len(ends) else name[: ends[count - 1]]


def _single(layer: Layer) -> Block:
    return Block(
        name=layer.name,
        kind=layer.kind,
        layers=1,
        output_shape=layer.output_shape,
        parameters=layer.parameters,
        multiply_adds=layer.multiply_adds,
    )


def _sum(run: Sequence[Layer], name: str) -> Block:
    if len(run) == 1:
        return _single(run[0])
    return Block(
        name=name,
        kind=_kinds(run),
        layers=len(run),
        output_shape=run[-1].output_shape,
        parameters=sum(layer.parameters for layer in run),
        multiply_adds=added([layer.multiply_adds for layer in run]),
    )


def _kinds(run: Sequence[Layer]) -> str:
    """Return such as "3 Conv2D" or "2 Conv2D, Dense": the layers that multiply, else all."""
    heavy = [layer for layer in run if layer.multiply_adds != 0 and layer.parameters]
    multiplying = [layer for layer in run if layer.multiply_adds]
    counted = Counter(layer.kind for layer in multiplying or heavy or run)
    return ", ".join(kind if n == 1 else f"{n} {kind}" for kind, n in counted.most_common(2))
