"""What the parent run of a sweep says: counts by state, best trial, means over the final seeds.

Pure functions, like `harness.mlflow_names`. The numbers stand under the same names as those of
the trials, so that parent and trials line up in the columns of MLflow's table.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from harness.mlflow_names import TAG_LIMIT, finite
from harness.record import METRICS, QUALITY, Metric, Role, RunRecord, Status

_MEANS = (
    "test_score", "test_accuracy", "test_mean_iou", "test_localization_accuracy", "images_per_s",
)  # fmt: skip

_COSTS = ("images_per_s", "evaluation_s", "mflops", "skipped_steps")
"""What a search may be after besides quality."""

_DEFAULT_OBJECTIVE = "score"


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """What the parent run keeps of one record; small, for it is held for each trial.

    Attributes:
        contender: the trial, such as "trial 07 · notebook-cnn"; its finals say the same.
        results: of a finished run, what a search may be after, by full name.
        finals: results of a finished final run by name; empty for a trial.
    """

    contender: str
    role: Role
    status: Status
    results: Mapping[str, float]
    finals: Mapping[str, float]


def sweep_row(record: RunRecord) -> SweepRow:
    """Reduce a record to what the parent run needs."""
    values = {name: m.value for name, m in record.measures.items() if m.value is not None}
    if record.status != "finished":
        values = {}
    number = "?" if record.trial is None else f"{record.trial:02d}"
    return SweepRow(
        contender=f"trial {number} · {record.config.backbone}",
        role=record.role,
        status=record.status,
        results={n: v for n, v in values.items() if n.startswith("validation_") or n in _COSTS},
        finals={n: values[n] for n in _MEANS if n in values} if record.role == "final" else {},
    )


def sweep_params(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the entries of a sweep's manifest as `sweep.*` strings; nested ones as JSON."""
    texts = {
        f"sweep.{name}": value if isinstance(value, str) else json.dumps(value, default=str)
        for name, value in manifest.items()
    }
    return {name: text[:TAG_LIMIT] for name, text in texts.items()}


def sweep_metrics(
    manifest: Mapping[str, Any], rows: Iterable[SweepRow], summary: Mapping[str, Any]
) -> dict[str, float]:
    """Return the parent's metrics: counts, best validation result, mean and spread of its finals.

    Numbers in `summary` are added under their names; none replaces a number computed here.
    """
    rows = list(rows)
    values = {
        name: float(value)
        for name, value in summary.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    values |= {f"trials_{state}": float(count) for state, count in _counts(rows).items()}
    best = best_trial(manifest, rows)
    if best is None:
        return finite(values)
    values |= {name: best.results[name] for name in objectives(manifest) if name in best.results}
    for name, samples in _finals(rows).get(best.contender, {}).items():
        values[name] = statistics.fmean(samples)
        if len(samples) > 1:
            values[f"{name}_sd"] = statistics.stdev(samples)
    return finite(values)


def objective(manifest: Mapping[str, Any]) -> str:
    """Return the full name of the measure that the sweep optimises, the first if several."""
    return objectives(manifest)[0]


def objectives(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the full names of all measures that the sweep optimises."""
    # The manifests of earlier releases hold one `objective`.
    names = manifest.get("objectives") or [manifest.get("objective")]
    known = [name for name in names if isinstance(name, str) and name in METRICS]
    return tuple(
        f"validation_{name}" if name in QUALITY else name for name in known or [_DEFAULT_OBJECTIVE]
    )


def less_is_better(name: str) -> bool:
    """Tell whether an objective, by its full name, is better the lower it is."""
    return METRICS[name.removeprefix("validation_")].better == "lower"


def best_trial(manifest: Mapping[str, Any], rows: Iterable[SweepRow]) -> SweepRow | None:
    """Return the finished trial with the best first objective; None if none finished.

    Of equals it is the first.
    """
    name = objective(manifest)
    scored = [row for row in rows if row.role == "trial" and name in row.results]
    sign = -1.0 if less_is_better(name) else 1.0
    return max(scored, key=lambda row: sign * row.results[name], default=None)


def sweep_note(
    manifest: Mapping[str, Any], rows: Iterable[SweepRow], summary: Mapping[str, Any]
) -> str:
    """Return the parent's description as markdown: counts, best trial, table of the finals."""
    rows = list(rows)
    counts = [f"{count} {state}" for state, count in _counts(rows).items() if count]
    done = sum(row.role == "trial" for row in rows)
    lines = [f"**{done} trials ended**: {', '.join(counts) or 'none yet'}."]
    best = best_trial(manifest, rows)
    if best is not None:
        name = objective(manifest)
        lines.append(f"Best {name}: **{best.results[name]:.4f}** ({best.contender}).")
    lines += _finals_table(rows)
    lines += [f"{k}: {v}" for k, v in summary.items() if isinstance(v, str) and k != "status"]
    lines.append(
        "The metrics of this run are the best trial's validation result and the means over "
        "the final runs of that trial (`_sd`: standard deviation over their seeds)."
    )
    return "\n\n".join(lines)[:TAG_LIMIT]


def _counts(rows: list[SweepRow]) -> dict[Status, int]:
    states = [row.status for row in rows if row.role == "trial"]
    return {state: states.count(state) for state in get_args(Status)}


def _finals(rows: list[SweepRow]) -> dict[str, dict[str, list[float]]]:
    """Collect the finals' results: contender -> name -> one value per seed."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        for name, value in row.finals.items():
            found.setdefault(row.contender, {}).setdefault(name, []).append(value)
    return found


def _finals_table(rows: list[SweepRow]) -> list[str]:
    """Return one markdown table, a line per contender, mean ± standard deviation over seeds."""
    finals = _finals(rows)
    names = [name for name in _MEANS if any(name in samples for samples in finals.values())]
    if not names:
        return []
    titles = [_title(name) for name in names]
    lines = [f"| finals of | seeds | {' | '.join(titles)} |", "|---" * (len(names) + 2) + "|"]
    for contender, samples in finals.items():
        cells = [_cell(samples.get(name, []), _metric(name).digits) for name in names]
        seeds = max(len(values) for values in samples.values())
        lines.append(f"| {contender} | {seeds} | {' | '.join(cells)} |")
    return ["\n".join(lines)]


def _metric(name: str) -> Metric:
    return METRICS[name.removeprefix("test_")]


def _title(name: str) -> str:
    return f"test {_metric(name).title}" if name.startswith("test_") else _metric(name).title


def _cell(samples: list[float], digits: int) -> str:
    if not samples:
        return "absent"
    mean = f"{statistics.fmean(samples):.{digits}f}"
    return f"{mean} ± {statistics.stdev(samples):.{digits}f}" if len(samples) > 1 else mean
