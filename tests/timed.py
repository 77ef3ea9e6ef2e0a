"""Cells and timings written by hand: nothing here was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from records import DATA, MACHINE

from harness.cell import Cell, CellPlan, Contender
from harness.config import RunConfig
from harness.record import Measure
from harness.timing import Span
from harness.timings import Timings

CONFIGS = {
    name: RunConfig(backbone=name, dataset="digits")
    for name in ("notebook-cnn", "patch-s", "readme-cnn")
}


def contender(name: str = "notebook-cnn") -> Contender:
    return Contender(name=name, config=CONFIGS[name])


def cell(name: str = "notebook-cnn", number: int = 1, rate: float = 100.0, **changes: Any) -> Cell:
    """Return a cell of two graph calls of 10 steps with 32 images, the second twice as long."""
    spans = (
        Span(start_s=0.0, end_s=1.0, steps=10, images=320),
        Span(start_s=1.0, end_s=3.0, steps=10, images=320),
    )
    values: dict[str, Any] = {
        "config": CONFIGS[name], "place": 1, "started_at": "2026-01-02T03:04:05+00:00",
        "duration_s": 20.0, "status": "finished", "data": DATA, "machine": MACHINE,
        "parameters": 685_774, "peak_gflops": Measure(value=200.0, samples=(190.0, 200.0)),
        "measures": {
            "images_per_s": Measure(value=rate, samples=(rate - 1, rate + 1)),
            "step_p50_ms": Measure(value=64e3 / rate, samples=(63e3 / rate, 65e3 / rate)),
            "latency_p99_ms": Measure(reason="too few samples", samples=(1.0,)),
            "mfu": Measure(value=0.25),
        },
        "warm_up": spans[:1], "spans": spans, "disturbances": ((), ()),
    }  # fmt: skip
    return Cell(**{"contender": name, "round": number} | values | changes)


def failed(name: str = "readme-cnn", number: int = 1, reason: str = "No such luck.") -> Cell:
    nothing: dict[str, Any] = {
        "data": None, "machine": None, "parameters": None, "peak_gflops": None, "measures": {},
        "warm_up": (), "spans": (), "disturbances": (),
    }  # fmt: skip
    return cell(name, number, status="failed", reason=reason, **nothing)


def timings(rates: Mapping[str, Sequence[float]] | None = None, **changes: Any) -> Timings:
    """Return timings with these images/s, one for each round.

    Args:
        rates: name of a contender -> its rates.
        changes: of other fields.
    """
    rates = rates or {"notebook-cnn": (100.0, 110.0, 105.0), "patch-s": (120.0, 132.0, 127.0)}
    values: dict[str, Any] = {
        "name": "20260102-030405-abcdef", "started_at": "2026-01-02T03:04:05.000+00:00",
        "duration_s": 120.0, "status": "finished", "plan": CellPlan(seconds=3.0),
        "repeats": max(map(len, rates.values())),
        "contenders": tuple(contender(name) for name in rates),
        "cells": tuple(
            cell(name, number, rate)
            for name, those in rates.items()
            for number, rate in enumerate(those, start=1)
        ),
    }  # fmt: skip
    return Timings(**values | changes)
