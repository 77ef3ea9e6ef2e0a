"""How long a worker may say nothing before it is taken for hung: by what was measured so far."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sweeps.protocol import Job

HANG_AFTER_S = 1800.0
"""The longest silence of all, and the only limit while nothing is measured: compiling a large
network or loading a data set over a slow network takes minutes."""

FACTOR = 10.0
"""Times the longest wait for a word of such a job. A busy machine, a slower clock or a checkpoint
on a slow disk make an epoch a few times longer, not ten times."""

LEAST_S = 60.0
"""No limit is below that: where epochs take a tenth of a second, a stall of the disk or of the
whole machine for seconds is no sign of a hung worker."""

_NO_MATTER = {
    "learning_rate", "class_weight", "box_weight", "seed", "data_seed", "epochs", "patience",
}  # fmt: skip
"""Fields of a configuration that do not decide how long an epoch of it takes."""


@dataclass(slots=True)
class _Current:
    """What a worker is doing."""

    kind: str
    run_id: str
    words: int = 0


class Deadlines:
    """The longest silence allowed to each worker of a pool.

    A worker has `hang_after_s` to start, and until the first word of a job whose like it has not
    done yet: it may have to compile. After that it has `FACTOR` times the longest wait for a word
    that any worker of the pool had in a job of this kind (equal but for rates, weights, seeds and
    numbers of epochs), though at least `least_s` and at most `hang_after_s`. The longest wait is
    mostly that for a first word, compilation included.

    A run that was once taken for hung has `hang_after_s` for each word from then on. So a limit
    that was too tight, on a machine that something else brought to a halt, costs a run one attempt
    at most, and no trial fails by it.

    Args:
        hang_after_s: seconds.
        least_s: seconds.
    """

    def __init__(self, hang_after_s: float = HANG_AFTER_S, least_s: float = LEAST_S) -> None:
        self._hang_after_s, self._least_s = hang_after_s, least_s
        self._current: dict[int, _Current] = {}
        self._longest_s: dict[str, float] = {}
        self._known: dict[int, set[str]] = {}
        self._suspects: set[str] = set()

    def begin(self, slot: int, job: Job) -> None:
        """Take in that a worker was given a job."""
        self._current[slot] = _Current(_kind(job), str(job.get("run_id")))

    def heard(self, slot: int, waited_s: float) -> None:
        """Take in that a worker said something, for which `waited_s` seconds were waited."""
        job = self._current.get(slot)
        if job is None:
            return  # it has started, which no job tells of
        job.words += 1
        self._longest_s[job.kind] = max(waited_s, self._longest_s.get(job.kind, 0.0))
        self._known.setdefault(slot, set()).add(job.kind)

    def limit_s(self, slot: int) -> float:
        """Return how many seconds a worker may say nothing now."""
        job = self._current.get(slot)
        if job is None or job.run_id in self._suspects:
            return self._hang_after_s
        if not job.words and job.kind not in self._known.get(slot, set()):
            return self._hang_after_s
        measured_s = FACTOR * self._longest_s[job.kind]
        return min(self._hang_after_s, max(self._least_s, measured_s))

    def hung(self, slot: int) -> None:
        """Take in that a worker was taken for hung."""
        if slot in self._current:
            self._suspects.add(self._current[slot].run_id)

    def forget(self, slot: int) -> None:
        """Take in that another worker is in a slot now."""
        self._current.pop(slot, None)
        self._known.pop(slot, None)


def _kind(job: Job) -> str:
    """Return what decides how long a job's epochs take, as text."""
    config = {name: v for name, v in job.get("config", {}).items() if name not in _NO_MATTER}
    return json.dumps([job.get("role"), config], sort_keys=True)
