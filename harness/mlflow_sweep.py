"""What the parent run of a sweep says: counts by state, best trial, means over the final seeds.

Pure functions, like `harness.mlflow_names`. The numbers stand under the same names as those of
the trials, so that parent and trials line up in the columns of MLflow's table. What a sweep fixed
is a param and what its best trial chose a metric `best/...`, as MLflow's params never change: so
parallel coordinates of several sweeps have axes for both.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from harness.config import RunConfig
from harness.metrics import METRICS, QUALITY, Metric
from harness.mlflow_names import (
    BEST_PREFIX,
    BEST_TAG,
    FINAL_SEEDS,
    HIGH,
    LOW,
    SD,
    TAG_LIMIT,
    finite,
    params,
)
from harness.record import Role, RunRecord, Status
from harness.students_t import t_quantile

_MEANS = (
    "test_score", "test_accuracy", "test_mean_iou", "test_localization_accuracy", "images_per_s",
)  # fmt: skip

_BOUNDS = dict.fromkeys(_MEANS, (0.0, 1.0)) | {"images_per_s": (0.0, math.inf)}
"""The values that each can take; its interval is cut there."""

_COSTS = ("images_per_s", "evaluation_s", "mflops", "skipped_steps")
"""What a search may be after besides quality."""

_DEFAULT_OBJECTIVE = "score"


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """What the parent run keeps of one record; small, for it is held for each trial.

    Attributes:
        contender: the trial, such as "trial 07 · notebook-cnn"; its finals say the same.
        config: what was trained.
        results: of a finished run, what a search may be after, by full name.
        finals: results of a finished final run by name; empty for a trial.
        tested: test metrics of a finished run, by their full name.
        granted, consumed: training examples, each counted in each epoch, that the run was given
            and that it trained on; `granted` is 0 if the record does not say.
    """

    contender: str
    config: RunConfig
    role: Role
    status: Status
    results: Mapping[str, float]
    finals: Mapping[str, float]
    tested: Mapping[str, float]
    granted: int
    consumed: int


def sweep_row(record: RunRecord) -> SweepRow:
    """Reduce a record to what the parent run needs."""
    values = {name: m.value for name, m in record.measures.items() if m.value is not None}
    if record.status != "finished":
        values = {}
    number = "?" if record.trial is None else f"{record.trial:02d}"
    return SweepRow(
        contender=f"trial {number} · {record.config.backbone}",
        config=record.config,
        role=record.role,
        status=record.status,
        results={n: v for n, v in values.items() if n.startswith("validation_") or n in _COSTS},
        finals={n: values[n] for n in _MEANS if n in values} if record.role == "final" else {},
        tested={n: v for n, v in values.items() if n.startswith("test_")},
        granted=record.config.epochs * record.data.n_train if record.data else 0,
        consumed=sum(point.images for point in record.history),
    )


def sweep_params(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the entries of a sweep's manifest as `sweep.*` strings, nested ones as JSON.

    What all its finals have in common stands under its own name too, as in the runs themselves.
    """
    texts = {
        f"sweep.{name}": value if isinstance(value, str) else json.dumps(value, default=str)
        for name, value in manifest.items()
    }
    final = dict(manifest.get("base") or {}) | dict(manifest.get("final_overrides") or {})
    varied = {"seed", *_searched(manifest)}
    fixed = {name: value for name, value in final.items() if name not in varied}
    return params(fixed) | params(texts)


def sweep_metrics(
    manifest: Mapping[str, Any], rows: Iterable[SweepRow], summary: Mapping[str, Any]
) -> dict[str, float]:
    """Return the parent's metrics: counts, budget, best validation result, finals, optimism gap.

    Finals are told by mean, standard deviation and 95 % interval over their seeds, as reports
    compute it. Numbers in `summary` are added under their names; none replaces a number computed
    here.
    """
    rows = list(rows)
    values = {
        name: float(value)
        for name, value in summary.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    values |= {f"trials_{state}": float(count) for state, count in _counts(rows).items()}
    values |= _budget(rows, values.get("trials_granted"))
    best = best_trial(manifest, rows)
    if best is None:
        return finite(values)
    values |= {name: best.results[name] for name in objectives(manifest) if name in best.results}
    values |= {
        f"{BEST_PREFIX}{name}": float(value)
        for name, value in best_values(manifest, best).items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    finals = _finals(rows).get(best.contender, {})
    for name, samples in finals.items():
        values |= _over_seeds(name, samples)
    if finals:
        values[FINAL_SEEDS] = float(max(map(len, finals.values())))
    if gaps := _gaps(manifest, best, rows):
        values |= _over_seeds("optimism_gap", gaps)
    return finite(values)


def sweep_tags(manifest: Mapping[str, Any], rows: Iterable[SweepRow]) -> dict[str, str]:
    """Return what the best trial chose as tags `best.*`: those that are no numbers too."""
    best = best_trial(manifest, rows)
    if best is None:
        return {}
    values = best_values(manifest, best) | {"trial": best.contender}
    return {f"{BEST_TAG}{name}": text for name, text in params(values).items()}


def best_values(manifest: Mapping[str, Any], best: SweepRow) -> dict[str, object]:
    """Return the searched fields of the best trial; one that it did not draw is None."""
    values = best.config.to_json()
    return {name: values[name] for name in _searched(manifest) if name in values}


def _searched(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(manifest.get("space") or ())


def _over_seeds(name: str, samples: list[float]) -> dict[str, float]:
    """Return mean, standard deviation and Student's 95 % interval, as far as there are any."""
    mean = statistics.fmean(samples)
    values = {name: mean}
    if len(samples) < 2:
        return values
    spread = statistics.stdev(samples)
    values[f"{name}{SD}"] = spread
    if max(samples) == min(samples):  # no interval of no width: as in reports
        return values
    half = t_quantile(0.975, len(samples) - 1) * spread / math.sqrt(len(samples))
    lowest, highest = _BOUNDS.get(name, (-math.inf, math.inf))
    values[f"{name}{LOW}"] = max(lowest, mean - half)
    values[f"{name}{HIGH}"] = min(highest, mean + half)
    return values


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
        "the final runs of that trial (over their seeds `_sd`: standard deviation; `_low`, "
        "`_high`: 95 % interval of the mean). `best/...`: what that trial chose. optimism_gap: "
        "that validation result minus the test result of the same training with new seeds."
    )
    return "\n\n".join(lines)[:TAG_LIMIT]


def _counts(rows: list[SweepRow]) -> dict[Status, int]:
    states = [row.status for row in rows if row.role == "trial"]
    return {state: states.count(state) for state in get_args(Status)}


def _budget(rows: list[SweepRow], trials: float | None) -> dict[str, float]:
    """Return the training examples that trials were granted, if known, and consumed."""
    tried = [row for row in rows if row.role == "trial"]
    values = {"examples_consumed": float(sum(row.consumed for row in tried))}
    each = max((row.granted for row in tried), default=0)
    return values | ({"examples_granted": trials * each} if trials and each else {})


def _gaps(manifest: Mapping[str, Any], best: SweepRow, rows: list[SweepRow]) -> list[float]:
    """Return for each new seed how much better the best trial's result was than its test result.

    Only runs that trained as the trial did can tell: re-runs, or finals that happen to.
    """
    name = objective(manifest)
    if not name.startswith("validation_"):
        return []  # a cost is no better than it was measured
    test = f"test_{name.removeprefix('validation_')}"
    again = [row for row in rows if row.contender == best.contender and test in row.tested]
    alike = [row for row in again if row.role == "rerun"]
    if not alike and _finals_train_alike(manifest):
        alike = [row for row in again if row.role == "final"]
    sign = -1.0 if less_is_better(name) else 1.0
    return [sign * (best.results[name] - row.tested[test]) for row in alike]


def _finals_train_alike(manifest: Mapping[str, Any]) -> bool:
    base = dict(manifest.get("base") or {})
    trial, final = (manifest.get(f"{of}_overrides") or {} for of in ("trial", "final"))
    return bool(base | dict(trial) == base | dict(final))


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
