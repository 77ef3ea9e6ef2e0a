"""Whether two trainings are the same but for rounding: pure, NumPy only.

Trainings that round differently drift apart, the faster the deeper the net and most of all with
batch normalisation, where losses are 1e-3 apart after 40 steps on one device. So there is no
fixed tolerance that finds faults and raises no false alarm. What is compared is

- the first step, where a fault is thousands of times larger than rounding: loss, gradient,
  averages of batch normalisation, and outputs after an update;
- the later losses, held against an envelope of several control runs: one device, the same
  batches, examples permuted inside each of them, and once with XLA. That is mathematically the
  same, rounded differently.

Permuting alone does not do: on mostly black scenes the fused batch normalisation of a CPU sums
many equal numbers, and what it loses by that, 2e-3 of the gradient, it loses in any order.

The limit of a quantity is `FACTOR` times the largest difference among the controls, but never less
than its floor, which is what single precision may lose where controls happen to lose nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.certificate import Quantity, finite

CONTROLS = 5
"""Control runs with permuted examples: the largest of so many is near what can happen. One more
is compiled the other way, where XLA can."""

FACTOR = 10.0
"""Controls and strategies round at different places: one may lose several times what another
does. Faults are a hundred times and more."""

AHEAD = 2
"""Two paths that drift apart may cross, and a loss at the crossing says nothing of how far apart
they are: the steps before it and the next two do."""

FLOORS = {
    "first loss": 2e-6,
    "first gradient norm": 2e-5,
    "first gradient": 1e-4,
    "averages after a step": 1e-5,
    "outputs after an update": 1e-5,
    "loss path": 2e-5,
}
"""Least limit of each quantity, in the order in which they are judged. A float32 holds 6e-8 of
itself; a loss is a mean of logarithms, a gradient a sum over examples, places and layers."""

OUTPUT_LIMIT = 1e-5
"""Limit of outputs, all in [0, 1] or near, for the same weights and images."""

HOW = {
    "first loss": "relative",
    "first gradient norm": "relative",
    "first gradient": "length of the difference, relative",
    "averages after a step": "length of the difference, relative",
    "outputs after an update": "largest",
    "loss path": "relative, at the step nearest to its limit",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainPath:
    """The first steps of a training.

    Attributes:
        losses: float64 `[steps]`, before each update.
        gradient: float64 `[weights]`, of the first step.
        averages: float64 `[any]`, what is not trained but moves (batch normalisation), after the
            first step; may be empty.
        outputs: float64 `[n, classes + 4]`, for a fixed batch after the first update.
    """

    losses: NDArray[np.float64]
    gradient: NDArray[np.float64]
    averages: NDArray[np.float64]
    outputs: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Noise:
    """What rounding does to a training: largest differences of control runs.

    Attributes:
        first: quantity of `FLOORS` -> largest difference of the controls.
        losses: float64 `[steps]`, largest relative difference of the losses up to `AHEAD` steps
            beyond each step.
        controls: how many.
    """

    first: Mapping[str, float]
    losses: NDArray[np.float64]
    controls: int


def evaluation_sizes(global_batch: int) -> tuple[int, ...]:
    """Return numbers of examples that do not divide into batches: below, above and far above."""
    return tuple(sorted({1, max(1, global_batch - 1), global_batch + 1, 3 * global_batch + 5}))


def noise(reference: TrainPath, controls: Sequence[TrainPath]) -> Noise:
    """Return how far control runs are from the reference."""
    seen = [differences(reference, control) for control in controls]
    apart = np.stack([_relative(reference.losses, control.losses) for control in controls])
    return Noise(
        first={name: max(each[name] for each in seen) for name in seen[0]},
        losses=_envelope(apart.max(axis=0)),
        controls=len(controls),
    )


def _envelope(apart: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest difference up to `AHEAD` steps beyond each step."""
    so_far = np.maximum.accumulate(apart)
    last = len(apart) - 1
    return so_far[np.minimum(np.arange(len(apart)) + AHEAD, last)]


def differences(reference: TrainPath, other: TrainPath) -> dict[str, float]:
    """Return how far apart the first steps are, by the names of `FLOORS`; no loss path."""
    one, two = reference.gradient, other.gradient
    found = {
        "first loss": _relative(reference.losses, other.losses)[0],
        "first gradient norm": abs(_size(two) - _size(one)) / _size(one),
        "first gradient": _distance(one, two),
        "averages after a step": _distance(reference.averages, other.averages),
        "outputs after an update": _largest(reference.outputs, other.outputs),
    }
    return {name: float(value) for name, value in found.items()}


def compare_paths(reference: TrainPath, other: TrainPath, rounding: Noise) -> Iterator[Quantity]:
    """Yield the quantities of the train steps in the order in which they are judged."""
    found = differences(reference, other)
    sizes = {name: (_summary(reference, name), _summary(other, name)) for name in found}
    for name, difference in found.items():
        if name.startswith("averages") and not reference.averages.size:
            continue  # nothing is normalised
        noisy = rounding.first[name]
        yield _quantity(name, sizes[name], difference, _limit(name, noisy), _basis(name, noisy))
    yield _loss_path(reference, other, rounding)


def compare_outputs(
    n: int, reference: NDArray[np.float64], other: NDArray[np.float64]
) -> Iterator[Quantity]:
    """Yield whether n examples were each counted once, and came out the same and in order.

    Args:
        n: examples evaluated.
        reference: float64 `[n, classes + 4]`.
        other: float64 `[any, classes + 4]`.
    """
    yield Quantity(
        name=f"count of {n} examples", reference=float(n), found=float(len(other)),
        difference=float(abs(len(other) - n)), how="number", limit=0.0,
        basis="each example counts exactly once",
    )  # fmt: skip
    apart = _largest(reference, other) if len(other) == n else float("nan")
    yield Quantity(
        name=f"outputs of {n} in order", reference=_mean(reference), found=_mean(other),
        difference=finite(apart), how="largest", limit=OUTPUT_LIMIT,
        basis=f"same weights, same images; {_neighbours(reference)}",
    )  # fmt: skip


def _neighbours(outputs: NDArray[np.float64]) -> str:
    """Say how far apart examples are that follow each other: an order is told by that."""
    if len(outputs) < 2:
        return "one example has no order"
    apart = np.abs(np.diff(outputs, axis=0)).max(axis=1)
    return f"one example and the next are {float(np.median(apart)):.2g} apart (median)"


def _loss_path(reference: TrainPath, other: TrainPath, rounding: Noise) -> Quantity:
    name = "loss path"
    apart = _relative(reference.losses, other.losses)
    limits = np.maximum(FACTOR * rounding.losses, FLOORS[name])
    # NaN is the worst of all; argmax finds it first.
    worst = int(np.argmax(apart / limits))
    basis = f"step {worst + 1} of {len(apart)}: {_basis(name, float(rounding.losses[worst]))}"
    losses = (float(reference.losses[worst]), float(other.losses[worst]))
    return _quantity(name, losses, float(apart[worst]), float(limits[worst]), basis)


def _quantity(
    name: str, sizes: tuple[float, float], difference: float, limit: float, basis: str
) -> Quantity:
    return Quantity(
        name=name, reference=finite(sizes[0]), found=finite(sizes[1]),
        difference=finite(difference), how=HOW[name], limit=limit, basis=basis,
    )  # fmt: skip


def _limit(name: str, noisy: float) -> float:
    return max(FACTOR * noisy, FLOORS[name])


def _basis(name: str, noisy: float) -> str:
    if FACTOR * noisy > FLOORS[name]:
        return f"{FACTOR:g} times the largest difference of the control runs, {noisy:.2g}"
    return f"floor of float32 sums; control runs differ by at most {noisy:.2g}"


def _summary(path: TrainPath, name: str) -> float:
    """Return one number for a quantity of the first steps."""
    match name:
        case "first loss":
            return float(path.losses[0])
        case "averages after a step":
            return float(_size(path.averages))
        case "outputs after an update":
            return _mean(path.outputs)
        case _:
            return float(_size(path.gradient))


def _size(values: NDArray[np.float64]) -> np.float64:
    return np.float64(np.linalg.norm(values))


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else 0.0


def _distance(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    """Return the length of the difference, relative to that of the first; 0 for two of nothing."""
    if not one.size and not two.size:
        return 0.0
    return float(np.linalg.norm(two - one) / _size(one))


def _relative(one: NDArray[np.float64], two: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.abs(two - one) / np.abs(one))


def _largest(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    return float(np.abs(two - one).max())
