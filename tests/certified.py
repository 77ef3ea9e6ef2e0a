"""Certificates written by hand: nothing here was measured."""

from __future__ import annotations

from typing import Any

from records import DATA, MACHINE

from harness.certificate import Certificate, Contender, Quantity
from harness.config import RunConfig
from harness.record import Measure


def quantity(name: str = "first loss", difference: float | None = 1e-7) -> Quantity:
    return Quantity(
        name=name, reference=2.5, found=2.5, difference=difference, how="relative", limit=2e-6,
        basis="floor of float32 sums",
    )  # fmt: skip


def contender(spec: str = "mirrored", replicas: int = 2, **changes: Any) -> Contender:
    values: dict[str, Any] = {
        "strategy": spec.partition(":")[0], "workers": 1,
        "devices": tuple(f"cpu:{i}" for i in range(replicas)),
        "quantities": (quantity(), quantity("loss path")),
        "images_per_s": Measure(value=300.0, samples=(280.0, 320.0)),
    }  # fmt: skip
    return Contender(spec=spec, replicas=replicas, **values | changes)


def certificate(**changes: Any) -> Certificate:
    values: dict[str, Any] = {
        "name": "20260102-030405-notebook-cnn-abcdef", "started_at": "2026-01-02T03:04:05+00:00",
        "duration_s": 60.0, "config": RunConfig(), "steps": 20, "controls": 5, "data": DATA,
        "machine": MACHINE,
        "reference": contender(
            "cpu", 1, quantities=(), images_per_s=Measure(value=200.0, samples=(190.0, 210.0))
        ),
        "contenders": (contender(), contender("mirrored:4", 4)),
    }  # fmt: skip
    return Certificate(**values | changes)
