"""`bench sweep`: search, train the best again, test it, report it."""

from __future__ import annotations

import dataclasses
import re
import shlex
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harness import __version__, devices
from harness.cmd_run import with_data_defaults
from harness.config import RunConfig, digest_of, knobs
from harness.console import console, note, say, waiting
from harness.data import load
from harness.datasets import TRIAL_EPOCHS, TRIAL_EXAMPLES
from harness.errors import BenchError, UsageError
from harness.machine import cpu_cores
from harness.record import EpochPoint, RunRecord
from harness.store import Store
from harness.sweep_display import SweepDisplay, trial_table
from harness.tracking_uri import resolve_uri
from sweeps.coordinator import run_sweep
from sweeps.listeners import SweepEnd, SweepOutcome
from sweeps.plan import SweepPlan, Task
from sweeps.pool import LocalPool
from sweeps.space import DEFAULT_SPACE, Range, SearchSpace, parse_range

EXECUTE = "harness.run:work"

LOOKAHEAD = 4
"""Trial i is proposed from the results up to trial i - 4: so at most 4 train at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the options of `bench sweep` ask for, beside the configuration."""

    trials: int
    name: str | None
    search: tuple[str, ...]
    trial_epochs: int | None
    trial_examples: int | None
    final_seeds: int
    sampler: str
    pruner: str
    workers: int | None
    report: bool


def sweep(
    config: RunConfig,
    request: Request,
    *,
    chosen: Collection[str],
    out: Path,
    tracking_uri: str | None,
    experiment: str,
    data_dir: Path | None,
) -> None:
    """Bring a sweep to its total of trials, test the best and report.

    Args:
        config: what trials and finals start from; `dataset` may be "auto".
        request: the size and rules of the search.
        chosen: names of the options that the user set; a field among them is not searched.
        out, tracking_uri, experiment, data_dir: as the options say.

    Raises:
        BenchError: something does not fit, or no trial finished.
        InterruptedRun: it was stopped; the same command goes on.
    """
    store = Store(out)
    uri = resolve_uri(tracking_uri, store.root)
    space = _space(request.search, chosen)
    store.check_writable()
    data = load(config, data_dir, say=say)
    config = with_data_defaults(config, data.source, chosen)
    if "threads" not in chosen:
        # Rounding depends on threads: a fixed number keeps the table free of the worker count.
        config = dataclasses.replace(config, threads=1)
    plan = _plan(config, request, space, data.source, data.identity().digest)
    workers = _workers(request, config)
    with waiting("loading MLflow ..."):
        from harness.track import Tracker
        from reports.illustrate import illustrate
    tracker = Tracker(uri, store, experiment=experiment, illustrate=illustrate, notify=say)
    with waiting("opening the tracking store ..."):
        tracker.check()
    _check_devices(config)
    note(f"sweep {plan.name}: {request.trials} trials, {workers} at once, in {store.root}")
    with tracker, SweepDisplay(plan, request.trials, n_train=data.n_train) as display:
        outcome = run_sweep(
            plan,
            total=request.trials,
            workers=workers,
            store=store,
            start_pool=partial(
                LocalPool,
                execute=EXECUTE,
                log_dir=store.sweep_dir(plan.name),
                environment=partial(_environment, config),
            ),
            tracker=_SweepTracker(tracker),
            observer=display,
            job_extra={"data_dir": str(data_dir.absolute()) if data_dir else None},
        )
    _show(plan, outcome)
    if request.report and outcome.finals and not _reported(outcome, store):
        from harness.cmd_report import report

        report(
            sweeps=(plan.name,), runs=(), everything=False, to=None, out=out,
            tracking_uri=tracking_uri, experiment=experiment,
        )  # fmt: skip
    note("next: `bench ui` to browse every trial, `bench report` to write the report again")
    if outcome.best is None:
        raise BenchError("No trial finished: see the reasons above.")
    failed = [record for record in outcome.finals if record.status != "finished"]
    if failed:
        raise BenchError(
            f"{len(failed)} of {len(outcome.finals)} finals did not finish: {failed[0].reason} "
            "The same command tries them again."
        )


def sweep_command(plan: SweepPlan, trials: int) -> str:
    """Return the command line that repeats a sweep from nothing."""
    words = ["bench", "sweep", "--trials", str(trials), "--name", plan.name]
    default = dataclasses.replace(RunConfig(), threads=1).to_json()
    for name, value in plan.base.to_json().items():
        always = name in {"epochs", "dataset"}
        if name in plan.space.names() or knobs()[name].on_off or value is None:
            continue
        fixed = name in DEFAULT_SPACE.names()
        if always or fixed or value != default[name]:
            words += [f"--{name.replace('_', '-')}", str(value)]
    overrides = plan.trial_overrides
    words += ["--trial-epochs", str(overrides["epochs"])]
    if overrides.get("train_examples") is not None:
        words += ["--trial-examples", str(overrides["train_examples"])]
    for item in plan.space.ranges:
        if item not in DEFAULT_SPACE.ranges:
            words += ["--search", _typed(item)]
    for name, value, usual in (
        ("final-seeds", plan.finals, 3), ("sampler", plan.sampler, "tpe"),
        ("pruner", plan.pruner, "median"),
    ):  # fmt: skip
        if value != usual:
            words += [f"--{name}", str(value)]
    return shlex.join(words)


def _typed(item: Range) -> str:
    scale = ":log" if item.log else "" if item.step is None else f":{item.step}"
    return f"{item.name}={item.low}..{item.high}{scale}"


def _space(search: tuple[str, ...], chosen: Collection[str]) -> SearchSpace:
    """Return the default space without what the user fixed, or the space that was asked for."""
    if search:
        space = SearchSpace(ranges=tuple(parse_range(text) for text in search))
        both = sorted(set(space.names()) & set(chosen))
        if both:
            raise UsageError(
                f"`{both[0]}` is either searched or fixed, but --search and "
                f"--{both[0].replace('_', '-')} were both given. Leave one out."
            )
        return space
    ranges = tuple(item for item in DEFAULT_SPACE.ranges if item.name not in chosen)
    if not ranges:
        raise UsageError(
            "A sweep must search something, but every field of the default space is fixed. "
            "Leave one of the options out, or name a range with --search."
        )
    return SearchSpace(ranges=ranges)


def _plan(
    config: RunConfig, request: Request, space: SearchSpace, source: str, data_digest: str
) -> SweepPlan:
    examples = request.trial_examples or config.train_examples or TRIAL_EXAMPLES[source]
    plan = SweepPlan(
        name=request.name or "unnamed",
        base=config,
        space=space,
        seed=config.seed,
        data_source=source,
        data_digest=data_digest,
        code=__version__,
        trial_overrides={
            "epochs": request.trial_epochs or TRIAL_EPOCHS[source],
            "train_examples": examples,
        },
        finals=request.final_seeds,
        sampler=request.sampler,  # type: ignore[arg-type]  # the plan checks it
        pruner=request.pruner,  # type: ignore[arg-type]  # the plan checks it
        lookahead=LOOKAHEAD,
    )
    if request.name:
        return plan
    backbone = re.sub(r"[^\w.-]+", "-", config.backbone).strip("-._")
    name = f"{backbone}-{source}-{digest_of(plan.to_json())[:6]}"
    return dataclasses.replace(plan, name=name)


def _workers(request: Request, config: RunConfig) -> int:
    if request.workers is not None:
        return request.workers
    gpus = _gpus(config)
    if len(devices.parse_devices(config.devices)) > 1 or config.strategy == "mirrored":
        return 1
    return min(LOOKAHEAD, gpus or max(1, cpu_cores() // max(1, config.threads)))


def _gpus(config: RunConfig) -> int:
    """Return how many GPUs workers may be given one each; 0 where the CPU is used."""
    if config.strategy == "cpu" or config.devices.startswith("cpu"):
        return 0
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def _environment(config: RunConfig, slot: int) -> Mapping[str, str]:
    """Return the variables of the worker in a slot: few threads, and a GPU of its own."""
    values = {"OMP_NUM_THREADS": str(max(1, config.threads)), "TF_CPP_MIN_LOG_LEVEL": "3"}
    gpus = _gpus(config)
    if not gpus:
        values["CUDA_VISIBLE_DEVICES"] = "-1"
    elif not config.devices and config.strategy != "mirrored":
        values["CUDA_VISIBLE_DEVICES"] = str(slot % gpus)
    return values


def _check_devices(config: RunConfig) -> None:
    """Open GPUs in a process of their own, to know before the first trial that they are there.

    This process must not: it would hold their memory while the workers train.
    """
    wants_gpu = config.strategy in {"gpu", "mirrored"} and not config.devices.startswith("cpu")
    if not wants_gpu and not config.devices.startswith("gpu"):
        return
    with waiting("looking for the devices ..."):
        import json
        import subprocess

        code = "import sys; from harness.run import probe; probe(sys.argv[1])"
        done = subprocess.run(
            [sys.executable, "-c", code, json.dumps(config.to_json())],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        raise devices.DeviceError(done.stdout.strip() or done.stderr.strip()[-500:])


class _SweepTracker:
    """Tells the tracker of this house what the sweep says."""

    def __init__(self, tracker: Any) -> None:
        self._tracker = tracker

    def open_sweep(self, plan: SweepPlan) -> None:
        self._tracker.open_sweep(plan.to_json())

    def reconcile(self, records: Collection[RunRecord]) -> None:
        self._tracker.reconcile(records)

    def begin(self, task: Task) -> None:
        self._tracker.begin(task.run_id, task.role, task.sweep, task.trial, task.config)

    def epoch(self, task: Task, point: EpochPoint) -> None:
        self._tracker.epoch(task.run_id, point)

    def finish(self, record: RunRecord) -> None:
        self._tracker.finish(record)

    def close_sweep(self, end: SweepEnd, outcome: SweepOutcome) -> None:
        self._tracker.close_sweep(outcome.name, {"status": end})


def _show(plan: SweepPlan, outcome: SweepOutcome) -> None:
    for text in outcome.notes:
        say(text)
    console.print(trial_table(plan, outcome.trials, title="best trials (validation)"))
    for record in outcome.finals:
        score, accuracy, iou = (
            record.value(f"test_{name}") for name in ("score", "accuracy", "mean_iou")
        )
        if score is None or accuracy is None or iou is None:
            note(f"final {record.run_id}: {record.status}: {record.reason}")
        else:
            note(
                f"final, seed {record.config.seed}: test score {score:.3f}, "
                f"accuracy {accuracy:.3f}, mean IoU {iou:.3f}"
            )


def _reported(outcome: SweepOutcome, store: Store) -> bool:
    """Tell whether nothing has changed since the report was written."""
    return outcome.already_done and (store.report_dir(outcome.name) / "report.md").is_file()
