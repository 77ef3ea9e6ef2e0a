"""Kill coordinator and workers at random moments; the table must not show it.

`BENCH_DRILL_KILLS` sets how many kills there are (`nox -s drill` uses 100).
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy
from toy_sweep import sweep, toy_plan

from harness.store import Store
from sweeps.study import JOURNAL_FILE, load_table

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("BENCH_DRILL_KILLS", "8"))
SCRIPT = Path(__file__).with_name("toy_sweep.py")


def start(store, total):
    # Attempts without end: being shot from outside says nothing against a trial.
    wish = {"total": total, "workers": 4, "delay_s": 0.25, "attempts": 1_000_000}
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        [sys.executable, SCRIPT, store.root, json.dumps(wish)],
        env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip


def shoot(coordinator, store, dice):
    """Send SIGKILL, SIGTERM or SIGINT to the coordinator, or SIGKILL to a worker."""
    if dice.random() < 0.5:
        living = [pid for pid in toy.pids(store) if worker_of(pid, coordinator.pid)]
        if living:
            os.kill(dice.choice(living), signal.SIGKILL)
            return "worker"
    number = dice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    coordinator.send_signal(number)
    coordinator.wait(20)
    return number.name


def worker_of(pid, parent):
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return int(status.rpartition(")")[2].split()[1]) == parent


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds workers by /proc")
def test_the_table_does_not_show_who_was_killed(tmp_path):
    total = 12 + 3 * KILLS  # so that the sweep outlasts the drill
    calm, store = Store(tmp_path / "calm"), Store(tmp_path / "drill")
    undisturbed = sweep(calm, toy_plan(), total=total, workers=4)
    dice = random.Random(2026)
    shots, coordinator = [], start(store, total)
    while len(shots) < KILLS and coordinator.returncode != 0:
        time.sleep(dice.uniform(0.05, 2.0))
        if coordinator.poll() is None:
            shots.append(shoot(coordinator, store, dice))
        if coordinator.poll():  # it was shot, and not at its last line
            tear(store, dice)
            coordinator = start(store, total)
    coordinator.wait(300)
    assert coordinator.returncode == 0, shots
    assert len(shots) == KILLS, f"the sweep ended before the drill: {shots}"

    _, rows = load_table(store, "toy")
    assert rows == undisturbed.trials
    assert len(rows) == total
    left = {record.run_id: record.status for record in store.records()}
    assert left == {record.run_id: record.status for record in calm.records()}


def tear(store, dice):
    """Leave half a line at the journal's end, as a power cut would, every other time."""
    path = store.sweep_dir("toy") / JOURNAL_FILE
    if path.exists() and dice.random() < 0.5:
        with path.open("ab") as file:
            file.write(b'{"op_code": 6, "worker_id": "dea')
