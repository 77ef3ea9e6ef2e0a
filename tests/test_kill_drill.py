"""Kill coordinator and workers at all kinds of moments; no table and no store must show it.

`BENCH_DRILL_KILLS` sets how many kills there are (`nox -s drill` uses 100).
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import pytest
import toy
from forking import Forked
from projected import check_stores
from toy_sweep import sweep, toy_plan
from tracked_sweep import Nursery

from harness.store import RECORD_FILE, Store
from harness.track_sync import SENT_FILE
from sweeps.study import JOURNAL_FILE, load_table

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds workers by /proc"),
]

KILLS = int(os.environ.get("BENCH_DRILL_KILLS", "9"))
TOTAL = 20 + 2 * KILLS  # so that the sweep outlasts the drill

KINDS = (
    "while MLflow's database is made", "worker", "while a run is sent", "SIGINT",
    "at the start", "SIGTERM", "worker", "SIGINT twice", "SIGKILL",
)  # fmt: skip
"""Each comes once before any comes again."""

MAKINGS = max(1, KILLS // 20)
"""How often the new database is shot; later there is none to be made."""

COLD = 10
"""Every so many starts the coordinator must import MLflow first: that takes seconds."""

PATIENCE_S = 60


class Drill:
    """A sweep that is shot, and started again until it ends."""

    def __init__(self, store: Store, nursery: Nursery, dice: random.Random) -> None:
        self.shots: list[str] = []
        self.litter: list[str] = []
        self._store, self._nursery, self._dice = store, nursery, dice
        self._starts = 0
        self.coordinator = self._start()

    def shoot(self, kind: str) -> None:
        """Wait for the moment and send the signal; start again if the coordinator is dead."""
        self._wait_for(kind)
        if self.coordinator.poll() is None:
            self._fire(kind)
            self.shots.append(kind)
        if self.coordinator.poll() not in {None, 0}:
            self._leave_litter()
            self.coordinator = self._start()

    def close(self) -> None:
        """Leave no process, however the test ended."""
        if self.coordinator.poll() is None:
            self.coordinator.send_signal(signal.SIGKILL)
            self.coordinator.wait(PATIENCE_S)

    def _start(self) -> Forked | Popen[bytes]:
        self._starts += 1
        start = self._nursery.start if self._starts % COLD else self._nursery.cold
        # Attempts without end: being shot from outside says nothing against a trial.
        return start(self._store.root, total=TOTAL, workers=4, delay_s=0.25, attempts=10**6)

    def _wait_for(self, kind: str) -> None:
        match kind:
            case "while MLflow's database is made":
                self._until(lambda: any(self._store.root.glob(".mlflow.db.new")))
                self._sleep(0.7)
            case "while a run is sent":
                self._until(lambda: any(self._unsent()))
            case "worker":
                self._until(lambda: self._workers() != [])
            case "at the start":
                self._sleep(0.5)
            case _:
                self._sleep(2.0)

    def _fire(self, kind: str) -> None:
        if kind == "worker":
            victims = self._workers()
            if victims:
                os.kill(self._dice.choice(victims), signal.SIGKILL)
            return
        name = kind.split()[0]
        number = signal.Signals[name] if name.startswith("SIG") else signal.SIGKILL
        self.coordinator.send_signal(number)
        if kind.endswith("twice"):
            self._sleep(0.2)
            self.coordinator.send_signal(number)
        self.coordinator.wait(PATIENCE_S)

    def _workers(self) -> list[int]:
        return [pid for pid in toy.pids(self._store) if parent_of(pid) == self.coordinator.pid]

    def _unsent(self) -> Iterator[Path]:
        for record in self._store.root.glob(f"runs/*/{RECORD_FILE}"):
            if not record.with_name(SENT_FILE).exists():
                yield record

    def _leave_litter(self) -> None:
        """Leave what a power cut may leave: half a line in the journal, half a file beside one."""
        journal = self._store.sweep_dir("toy") / JOURNAL_FILE
        if journal.exists() and self._dice.random() < 0.5:
            with journal.open("ab") as file:
                file.write(b'{"op_code": 6, "worker_id": "dea')
            self.litter.append("half a line")
        folders = sorted(self._store.root.glob("runs/*"))
        if folders and self._dice.random() < 0.5:
            half = self._dice.choice(folders) / f".{RECORD_FILE}.{self._dice.randbytes(8).hex()}"
            half.write_bytes(b'{"run_id": "toy-t0')
            self.litter.append("half a file")

    def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while self.coordinator.poll() is None and not condition():
            assert time.monotonic() < deadline, "the moment never came"
            time.sleep(0.002)

    def _sleep(self, most_s: float) -> None:
        time.sleep(self._dice.uniform(0.0, most_s))


def kinds(dice: random.Random) -> Iterator[str]:
    """Yield what is shot: the new database first, then each kind once, then any."""
    yield from [KINDS[0]] * MAKINGS
    yield from KINDS[1:]
    while True:
        yield dice.choice(KINDS[1:])


def parent_of(pid: int) -> int | None:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(status.rpartition(")")[2].split()[1])


def test_no_table_and_no_store_shows_who_was_killed(tmp_path: Path) -> None:
    calm, store = Store(tmp_path / "calm"), Store(tmp_path / "drill")
    undisturbed = sweep(calm, toy_plan(), total=TOTAL, workers=4)
    start_s, dice = time.monotonic(), random.Random(2026)
    with (
        Nursery(tmp_path / "said.txt") as nursery,
        contextlib.closing(Drill(store, nursery, dice)) as drill,
    ):
        plan = kinds(dice)
        while len(drill.shots) < KILLS and drill.coordinator.poll() != 0:
            drill.shoot(next(plan))
            done = f"{len(drill.shots)}/{KILLS} shots, {ended(store)}/{TOTAL} runs"
            tell(f"{done}: {drill.shots[-1]}", start_s)
        assert drill.coordinator.wait(600) == 0, (tmp_path / "said.txt").read_text()
        assert len(drill.shots) == KILLS, f"the sweep ended before the drill: {drill.shots}"
        tell(f"shot: {dict(Counter(drill.shots))}, left: {dict(Counter(drill.litter))}", start_s)

        assert load_table(store, "toy")[1] == undisturbed.trials
        left = {record.run_id: record.status for record in store.records()}
        assert left == {record.run_id: record.status for record in calm.records()}
        check_stores(store)
        assert nursery.run(store.root, total=TOTAL) == 0
        check_stores(store)  # a second command does nothing
    tell("the tables are equal, Optuna, MLflow and the records agree", start_s)


def ended(store: Store) -> int:
    return len(list(store.root.glob(f"runs/*/{RECORD_FILE}")))


def tell(text: str, since_s: float) -> None:
    """Say how it goes, for those who wait for the long form with `-s`."""
    print(f"{time.monotonic() - since_s:6.1f} s  {text}", flush=True)  # noqa: T201
