"""A sweep of the toy as a program that can be killed: `python tests/toy_sweep.py OUT WISH`.

WISH is a JSON object with total, workers, delay_s and, if wanted, name, attempts and max_s; with
backbones it is a group of sweeps.
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from toy import EPOCHS

from harness.config import RunConfig
from harness.errors import BenchError
from harness.store import Store
from sweeps.coordinator import run_sweep, run_sweeps
from sweeps.group import member_name
from sweeps.listeners import SweepOutcome
from sweeps.plan import SweepPlan
from sweeps.pool import LocalPool


def toy_plan(**changes: Any) -> SweepPlan:
    """Return the plan of a sweep of the toy."""
    plain: dict[str, Any] = {
        "name": "toy", "base": RunConfig(epochs=EPOCHS), "data_source": "toy",
        "data_digest": "0123456789abcdef",
    }  # fmt: skip
    return SweepPlan(**plain | changes)


def sweep(
    store: Store, plan: SweepPlan, *, total: int, workers: int = 2, **options: Any
) -> SweepOutcome:
    """Run a sweep of the toy here; `options` are those of the toy, the pool and `run_sweep`."""
    of_toy = ("delay_s", "faults", "leak_mib", "gate")
    of_pool = ("silence_s", "least_s", "growth_mib")
    extra = {name: options.pop(name) for name in of_toy if name in options}
    limits = {name: options.pop(name) for name in of_pool if name in options}
    if "max_s" in options:
        options["deadline_s"] = time.monotonic() + options.pop("max_s")
    start_pool = partial(
        LocalPool, execute="toy:execute", log_dir=store.sweep_dir(plan.name), **limits
    )
    return run_sweep(
        plan, total=total, workers=workers, store=store, start_pool=start_pool, job_extra=extra,
        **options,
    )  # fmt: skip


def toy_members(*backbones: str, name: str = "toys", **changes: Any) -> list[SweepPlan]:
    """Return the plans of a group that searches each of these backbones."""
    return [
        toy_plan(
            name=member_name(name, backbone), group=name,
            base=RunConfig(epochs=EPOCHS, backbone=backbone), **changes,
        )
        for backbone in backbones
    ]  # fmt: skip


def sweep_all(
    store: Store, plans: list[SweepPlan], *, total: int, workers: int = 2, **options: Any
) -> tuple[SweepOutcome, ...]:
    """Run a group of sweeps of the toy here; `options` as those of `sweep`."""
    extra = {name: options.pop(name) for name in ("delay_s", "faults") if name in options}
    start_pool = partial(LocalPool, execute="toy:execute", log_dir=store.root)
    return run_sweeps(
        plans, total=total, workers=workers, store=store, start_pool=start_pool,
        job_extra=extra, **options,
    )  # fmt: skip


def main() -> None:
    """Run it as the command line says."""
    wish, store = json.loads(sys.argv[2]), Store(Path(sys.argv[1]))
    backbones = wish.pop("backbones", ())
    try:
        if backbones:
            outcome = sweep_all(store, toy_members(*backbones), **wish)[0]
        else:
            outcome = sweep(store, toy_plan(name=wish.pop("name", "toy")), **wish)
    except BenchError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    sys.stdout.write(json.dumps({"already_done": outcome.already_done, "notes": outcome.notes}))


if __name__ == "__main__":
    main()
