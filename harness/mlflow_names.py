"""How a run reads in MLflow: every name, tag, metric and note that bench writes there.

Pure functions from records to plain values. Curves are metrics `epoch/...` with one point per
epoch; results are metrics under the names of the record, so that one column of MLflow's table
never mixes the two. Tags `bench.*` are what bench itself searches for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from harness.certificate import Certificate
from harness.config import RunConfig
from harness.record import METRICS, EpochPoint, Role, RunRecord, Status
from harness.timings import Timings

RUN_ID = "bench.run_id"
STORE = "bench.store"
OWNER = "bench.owner"
ROLE = "bench.role"
SWEEP = "bench.sweep"
TRIAL = "bench.trial"
STATUS = "bench.status"
REASON = "bench.reason"
CAUSE = "bench.cause"
TOO_LARGE = "bench.too_large_batches"
RECORD_DIGEST = "bench.record"
PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"

SWEEP_ROLE = "sweep"
GROUP_ROLE = "group"
REPORT_ROLE = "report"
CERTIFICATE_ROLE = "certificate"
TIMINGS_ROLE = "timings"

EPOCH_PREFIX = "epoch/"
EPOCH_MARK = "epoch/train_s"
"""Written with every epoch: its history tells which epochs MLflow has."""

BEST_PREFIX = "best/"
"""Of a sweep's metrics: what its best trial chose, as far as it is a number."""

BEST_TAG = "best."
"""The same as tags, whatever it is."""

FINAL_SEEDS = "final_seeds"
"""Over how many runs the means at a sweep are."""

SD, LOW, HIGH = "_sd", "_low", "_high"
"""Behind the name of a mean: standard deviation and 95 % interval over seeds."""

MlflowStatus = Literal["FINISHED", "FAILED", "KILLED"]

# A pruned trial did what was asked of it; KILLED would put MLflow's red cross on most of a sweep.
_ENDS: dict[Status, MlflowStatus] = {
    "finished": "FINISHED",
    "pruned": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}

_MARKS: dict[Status, str] = {
    "finished": "",
    "pruned": " · pruned",
    "failed": " · failed",
    "interrupted": " · interrupted",
}

TAG_LIMIT = 5000
"""Longest tag that every MLflow server takes; longer ones are cut with a warning."""

_HEADLINE = ("score", "accuracy", "mean_iou", "localization_accuracy")


def sweep_key(name: str) -> str:
    """Return the `bench.run_id` of a sweep's or group's run; no run id contains a colon."""
    return f"sweep:{name}"


def mlflow_status(status: Status) -> MlflowStatus:
    """Return the status MLflow shows for one of ours; `bench.status` keeps them apart."""
    return _ENDS[status]


def run_name(
    role: Role, trial: int | None, config: RunConfig, status: Status | None = None
) -> str:
    """Return a name that reads well in a list, such as "trial 07 · notebook-cnn · pruned"."""
    if role == "trial":
        what = f"trial {trial:02d}" if trial is not None else "trial"
    elif role == "final":
        of = f" {trial:02d}" if trial is not None else ""
        what = f"final{of} · seed {config.seed}"
    elif role == "rerun":
        of = f" {trial:02d}" if trial is not None else ""
        what = f"re-run{of} · seed {config.seed}"
    else:
        what = "run"
    return f"{what} · {config.backbone}{_MARKS[status] if status else ''}"


def params(values: Mapping[str, object]) -> dict[str, str]:
    """Return configuration values as MLflow's strings; what is not set reads "None"."""
    return {name: str(value)[:TAG_LIMIT] for name, value in values.items()}


def certificate_params(certificate: Certificate) -> dict[str, str]:
    """Return what a certificate compared, as MLflow's strings."""
    specs = (certificate.reference.spec, *(each.spec for each in certificate.contenders))
    values = {"strategies": ",".join(specs), "steps": certificate.steps}
    return params(certificate.config.to_json() | values)


def timings_params(timings: Timings) -> dict[str, str]:
    """Return what was timed, as MLflow's strings."""
    names = " | ".join(each.name for each in timings.contenders)
    return params(
        {"contenders": names, "repeats": timings.repeats, "seconds": timings.plan.seconds}
    )


def epoch_metrics(point: EpochPoint) -> dict[str, float]:
    """Return the finite metrics of one epoch under `epoch/`, rate and duration included."""
    values = {f"{EPOCH_PREFIX}{name}": value for name, value in point.metrics.items()}
    if point.train_s > 0:
        values[f"{EPOCH_PREFIX}images_per_s"] = point.images / point.train_s
    if point.validation_s is not None:
        values[f"{EPOCH_PREFIX}validation_s"] = point.validation_s
    return finite(values) | {EPOCH_MARK: point.train_s}


def final_metrics(record: RunRecord) -> dict[str, float]:
    """Return every finite result of a run under its own name; what is absent stays absent."""
    values = {name: m.value for name, m in record.measures.items() if m.value is not None}
    values["duration_s"] = record.duration_s
    if record.history:
        values["epochs_run"] = float(record.history[-1].epoch)
    if record.model is not None:
        values["parameters"] = float(record.model.parameters)
    return finite(values)


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """Drop NaN and infinities: MLflow would store an infinity as 1.8e308."""
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}


def begin_tags(
    run_id: str, role: Role, sweep: str | None, trial: int | None, config: RunConfig
) -> dict[str, str]:
    """Return what is known of a run when it starts."""
    tags = {
        RUN_ID: run_id,
        ROLE: role,
        STATUS: "running",
        "backbone": config.backbone,
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": "bench sweep" if sweep else "bench run",
    }
    if sweep is not None:
        tags[SWEEP] = sweep
    if trial is not None:
        tags[TRIAL] = str(trial)
    return tags


def end_tags(record: RunRecord) -> dict[str, str]:
    """Return what is known of a run when it has ended: status, reason, data, code, devices."""
    tags = {STATUS: record.status, NOTE: run_note(record)}
    if record.reason:
        tags[REASON] = record.reason
    if record.cause:
        tags[CAUSE] = record.cause
    if record.too_large:
        tags[TOO_LARGE] = ", ".join(map(str, record.too_large))
    if record.targets:
        tags["targets"] = ", ".join(record.targets)
    if record.data is not None:
        tags["data.source"] = record.data.source
        tags["data.digest"] = record.data.digest
    if record.machine is not None:
        tags["strategy"] = record.machine.strategy
        tags["devices"] = ", ".join(record.machine.devices)
        tags["machine"] = record.machine.cpu_model
        if record.machine.jit is not None:
            tags["jit"] = record.machine.jit
        if record.machine.git_commit is not None:
            tags["mlflow.source.git.commit"] = record.machine.git_commit
            tags["git.commit"] = record.machine.git_commit
            tags["git.dirty"] = str(bool(record.machine.git_dirty)).lower()
    return {name: value[:TAG_LIMIT] for name, value in tags.items()}


def run_note(record: RunRecord) -> str:
    """Return the description of a run as markdown: how it ended, results, what is missing."""
    lines = [f"**{record.status}** after {record.duration_s:.1f} s, {len(record.history)} epochs."]
    if record.reason:
        lines.append(f"Reason: {record.reason}")
    if record.traceback:
        lines.append("The traceback is in the artifact `traceback.txt`.")
    if record.too_large:
        sizes = " and ".join(map(str, record.too_large))
        lines.append(f"Ran out of memory with a batch of {sizes} before.")
    for split in ("validation", "test"):
        parts = [
            f"{METRICS[name].title} {value:.3f}"
            for name in _HEADLINE
            if (value := record.value(f"{split}_{name}")) is not None
        ]
        if parts:
            lines.append(f"{split.capitalize()}: {', '.join(parts)}.")
    lines += [
        f"No {name}: {measure.reason}"
        for name, measure in sorted(record.measures.items())
        if measure.reason is not None
    ]
    return "\n\n".join(lines)
