"""Timings of contenders from a model of a machine: nothing here was measured.

ln(images/s) of a process = contender + state of the machine + luck of the process, and a step of
it has noise that remembers the step before (AR(1)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

STEP_SD, STEP_MEMORY = 0.05, 0.5
"""Of ln(rate of one graph call), around its process; correlation with the call before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How a machine varies; standard deviations are of ln(images/s).

    Attributes:
        processes: luck of a process.
        tail: its distribution: normal; Student's with 3 degrees of freedom; one of two states
            (huge pages or not); exponential, as what disturbs only slows.
        drift: step of the machine's state from one process to the next, a random walk.
        trend: the same, always in one direction (heat).
        burst: share of processes that something slows by up to `depth`.
    """

    processes: float = 0.0
    tail: Literal["normal", "t3", "two states", "exponential"] = "normal"
    drift: float = 0.0
    trend: float = 0.0
    burst: float = 0.0
    depth: float = 0.3


def rounds_of(
    rng: np.random.Generator, spread: Spread, rounds: int, *, gain: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return images/s `[rounds]` of two contenders, timed A B, B A, A B, ...

    Args:
        gain: ln of how much faster the first one is.
    """
    cells = np.arange(2 * rounds)
    values = math.log(400) + spread.trend * cells
    values = values + np.cumsum(rng.normal(0, spread.drift, cells.size))
    values += spread.processes * _luck(rng, spread.tail, cells.size)
    slow = np.log1p(-spread.depth * rng.random(cells.size))
    values += np.where(rng.random(cells.size) < spread.burst, slow, 0)
    pairs = np.exp(values).reshape(rounds, 2)
    pairs[1::2] = pairs[1::2, ::-1]
    return pairs[:, 0] * math.exp(gain), pairs[:, 1]


def steps_of(rng: np.random.Generator, rate: float, calls: int) -> NDArray[np.float64]:
    """Return images/s `[calls]` of the graph calls of a process whose rate is given."""
    fresh = rng.normal(0, STEP_SD * math.sqrt(1 - STEP_MEMORY**2), calls)
    noise = np.empty(calls)
    noise[0] = rng.normal(0, STEP_SD)
    for call in range(1, calls):
        noise[call] = STEP_MEMORY * noise[call - 1] + fresh[call]
    return rate * np.exp(noise)


def _luck(rng: np.random.Generator, tail: str, n: int) -> NDArray[np.float64]:
    """Return deviations `[n]` with a standard deviation of 1."""
    if tail == "t3":
        return rng.standard_t(3, n) / math.sqrt(3)
    if tail == "two states":
        return rng.choice([-1.0, 1.0], n) + rng.normal(0, 0.1, n)
    if tail == "exponential":
        return -rng.exponential(1, n)
    return rng.normal(0, 1, n)
