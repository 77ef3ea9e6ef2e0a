"""The work of several sweeps as one, handed out so that workers rarely change the backbone."""

from __future__ import annotations

from collections.abc import Mapping

from harness.record import EpochPoint, RunRecord
from sweeps.plan import Task
from sweeps.sampler import TrialRow
from sweeps.work import Work


class Together:
    """Several sweeps that share a crew.

    A worker keeps to the sweep that it served last while that has a run for it: another backbone
    has to be compiled anew. Else it goes where the fewest workers are, and of those to the sweep
    that has the most left. Who trains what changes nothing in any table.

    Args:
        members: name of a sweep -> its work.
        served: slot -> name of the sweep that its worker served last; kept up to date, so that
            the next work of the same sweeps goes on with it.
    """

    def __init__(self, members: Mapping[str, Work], served: dict[int, str]) -> None:
        self._members = members
        self._served = served

    def left(self) -> int:
        """See `Work`."""
        return sum(work.left() for work in self._members.values())

    def next_task(self, slot: int) -> Task | None:
        """See `Work`."""
        for name in self._by_preference(slot):
            task = self._members[name].next_task(slot)
            if task is not None:
                self._served[slot] = name
                return task
        return None

    def goes_on(self, task: Task, point: EpochPoint) -> bool:
        """See `Work`."""
        return self._members[task.sweep].goes_on(task, point)

    def found(self, task: Task) -> RunRecord | None:
        """See `Work`."""
        return self._members[task.sweep].found(task)

    def settle(self, task: Task, record: RunRecord) -> tuple[RunRecord, TrialRow | None]:
        """See `Work`."""
        return self._members[task.sweep].settle(task, record)

    def put_back(self, task: Task) -> bool:
        """See `Work`."""
        return self._members[task.sweep].put_back(task)

    def again(self, task: Task, record: RunRecord) -> str | None:
        """See `Work`."""
        return self._members[task.sweep].again(task, record)

    def _by_preference(self, slot: int) -> list[str]:
        """Return the sweeps, the one that a worker should serve first."""
        own = self._served.get(slot)
        others = [name for at, name in self._served.items() if at != slot]

        def rank(name: str) -> tuple[bool, int, int]:
            return (name != own, others.count(name), -self._members[name].left())

        return sorted(self._members, key=rank)  # stable: of equals the first
