"""A disk that is full in the middle of a sweep: one line, then the same table once there is room.

It is filled to the last page or a few before it: half a line of the journal and half a file fit.
"""

from __future__ import annotations

import random
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from projected import check_stores
from small_disk import PAGE, SmallDisk, small_disk
from toy_sweep import sweep, toy_plan
from tracked_sweep import Nursery

from harness.store import Store
from sweeps.listeners import SweepOutcome
from sweeps.study import JOURNAL_FILE, load_table

pytestmark = pytest.mark.slow

TOTAL = 24
FILLS = 3
STEP = 5
"""So many trials more may begin before each fill; the last one never: no sweep ends first."""

assert STEP * (FILLS + 1) < TOTAL

WORDS = re.compile(
    r"Error: (\S+) cannot be written: No space left on device\. The disk of (\S+) has "
    r"(\d+\.\d) MiB free\. Make room there and give the same command again: "
    r"all that was measured is kept\."
)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    with small_disk(tmp_path_factory.mktemp("disk") / "mounted", mib=8) as disk:
        yield disk


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("said") / "said.txt"


@pytest.fixture(scope="module")
def nursery(disk: SmallDisk, said: Path) -> Iterator[Nursery]:
    with Nursery(said, within=disk.within) as nursery:
        yield nursery


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> SweepOutcome:
    return sweep(Store(tmp_path_factory.mktemp("calm")), toy_plan(), total=TOTAL, workers=4)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_full_disk_ends_it_in_a_line_and_costs_no_trial(
    disk: SmallDisk, nursery: Nursery, said: Path, undisturbed: SweepOutcome, tmp_path: Path,
    elsewhere: bool,
) -> None:  # fmt: skip
    name = "apart" if elsewhere else "same"
    store, dice = Store(disk.outside / name), random.Random(7)
    uri = f"sqlite:///{tmp_path}/mlflow.db" if elsewhere else None
    gate, torn = tmp_path / "gate", 0
    gate.write_bytes(bytes(STEP))
    wish = {"total": TOTAL, "workers": 4, "delay_s": 0.25, "uri": uri, "gate": str(gate)}
    for fill in range(1, FILLS + 1):
        begun, before = len(said.read_text()), ended(store)
        coordinator = nursery.start(disk.path / name, **wish)
        while ended(store) < before + 1 and coordinator.poll() is None:
            time.sleep(0.01)
        time.sleep(dice.uniform(0.0, 0.1))
        disk.fill(pages=fill % 3)
        may_begin, deadline = STEP * (fill + 1), time.monotonic() + 60
        while coordinator.poll() is None and time.monotonic() < deadline:
            gate.write_bytes(bytes(min(may_begin, TOTAL - 1)))
            may_begin += 1
            time.sleep(0.1)
            disk.fill(pages=fill % 3)  # SQLite deletes a journal now and then, which makes room
        assert coordinator.poll() == 1, said.read_text()
        errors = [
            line for line in said.read_text()[begun:].splitlines() if line.startswith("Error: ")
        ]
        assert len(errors) == 1
        assert "could not be sent" not in said.read_text(), "that would be a line for each run"
        match = WORDS.fullmatch(errors[0])
        assert match, errors
        path, folder, free_mib = match.groups()
        assert Path(path).is_relative_to(disk.path)
        assert Path(path).is_relative_to(folder)
        assert float(free_mib) <= 3 * PAGE / 2**20 + 0.1
        torn += not (store.sweep_dir("toy") / JOURNAL_FILE).read_bytes().endswith(b"\n")
        disk.clear()
    assert ended(store) < TOTAL, "the disk was full in the middle"
    gate.write_bytes(bytes(TOTAL))
    assert nursery.run(disk.path / name, **wish) == 0, said.read_text()
    assert load_table(store, "toy")[1] == undisturbed.trials
    if not elsewhere:  # SQLite would look for the file outside
        shutil.copy(store.root / "mlflow.db", tmp_path)
    check_stores(store, uri=f"sqlite:///{tmp_path}/mlflow.db")
    print(f"{torn} of {FILLS} fills left half a line in the journal")  # noqa: T201


def ended(store: Store) -> int:
    return len(list(store.root.glob("runs/*/record.json")))
