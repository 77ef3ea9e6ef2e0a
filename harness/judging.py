"""Turns what processes saw into the verdict on a strategy: pure, NumPy only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.agreement import compare_outputs, compare_paths
from harness.certificate import Contender, Quantity, finite
from harness.contender_specs import Spec
from harness.errors import BenchError
from harness.observed import Observed
from harness.record import Measure


def judge(spec: Spec, seen: Sequence[Observed], reference: Observed) -> Contender:
    """Compare what the workers of a strategy saw with the reference, which had control runs.

    Raises:
        BenchError: the strategy was not what was asked for, or saw other data.
    """
    chief = seen[0]
    if chief.data != reference.data:
        raise BenchError(f"`{spec.text}` must train on the data of the reference, but saw others.")
    if chief.machine.replicas != spec.replicas:
        raise BenchError(
            f"`{spec.text}` must have {spec.replicas} replicas, got {chief.machine.replicas}."
        )
    return _contender(spec, chief, tuple(_quantities(seen, reference)))


def as_reference(spec: Spec, seen: Observed) -> Contender:
    """Return the reference as it stands in a certificate: nothing to be judged."""
    return _contender(spec, seen, ())


def _quantities(seen: Sequence[Observed], reference: Observed) -> Iterator[Quantity]:
    assert reference.noise is not None, "the reference has control runs"
    chief = seen[0]
    yield from compare_paths(reference.path, chief.path, reference.noise)
    yield _copies(seen)
    for n, outputs in reference.evaluations.items():
        yield from compare_outputs(n, outputs, chief.evaluations[n])


def _copies(seen: Sequence[Observed]) -> Quantity:
    """Return whether all replicas of all workers hold the same variables after the steps."""
    others = len({each.weights_digest for each in seen}) - 1
    apart = max((each.copies_apart for each in seen), key=lambda value: (value != value, value))
    words = "every replica must hold the same variables, bit by bit"
    if others:
        words += f"; {others} of {len(seen)} workers hold others"
    return Quantity(
        name="copies on the replicas", reference=None, found=None,
        difference=finite(float("inf") if others else apart), how="largest", limit=0.0,
        basis=words,
    )  # fmt: skip


def _contender(spec: Spec, seen: Observed, quantities: tuple[Quantity, ...]) -> Contender:
    samples = tuple(n / s for n, s in zip(seen.images, seen.train_s, strict=True))
    return Contender(
        spec=spec.text,
        strategy=seen.machine.strategy,
        devices=seen.machine.devices,
        workers=spec.workers,
        replicas=seen.machine.replicas,
        quantities=quantities,
        images_per_s=Measure(value=sum(seen.images) / sum(seen.train_s), samples=samples),
    )
