"""What the run of a group of sweeps says in MLflow: how each backbone stands, beside the others.

Pure functions, like `harness.mlflow_sweep`. The runs of the sweeps are nested under it. It has no
result of its own: which backbone is best is for a report to say, with intervals.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.mlflow_names import BEST_PREFIX, SD, TAG_LIMIT
from harness.record import METRICS

GROUP_FILE = "group.json"
SWEEP_FILE = "sweep.json"

_TOTALS = (
    "trials_finished", "trials_failed", "trials_pruned", "trials_interrupted", "trials_granted",
    "examples_consumed", "examples_granted",
)  # fmt: skip
_TABLE = (
    ("validation_score", "best validation score"), ("test_score", "test score of finals"),
    ("optimism_gap", "optimism gap"), ("trials_finished", "finished"),
    ("trials_pruned", "pruned"), ("examples_granted", "examples granted"),
    ("examples_consumed", "examples consumed"),
)  # fmt: skip


def is_group(manifest: Mapping[str, Any]) -> bool:
    """Tell whether a manifest is that of a group of sweeps."""
    return "members" in manifest


def group_of(manifest: Mapping[str, Any]) -> str | None:
    """Return the name of the group that a manifest is of or belongs to; None for neither."""
    name = manifest["name"] if is_group(manifest) else manifest.get("group")
    return None if name is None else str(name)


def manifest_file(manifest: Mapping[str, Any]) -> str:
    """Return the name of the file that a manifest is kept in."""
    return GROUP_FILE if is_group(manifest) else SWEEP_FILE


def group_metrics(members: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the metrics of a group: `BACKBONE/NAME` for each, and sums of trials and examples.

    Args:
        members: backbone -> metrics of its sweep, see `sweep_metrics`.
    """
    values = {
        f"{backbone}/{name}": value
        for backbone, metrics in members.items()
        for name, value in metrics.items()
        if not name.startswith(BEST_PREFIX)
    }
    for name in _TOTALS:
        parts = [metrics[name] for metrics in members.values() if name in metrics]
        if len(parts) == len(members):
            values[name] = sum(parts)
    return values


def group_note(members: Mapping[str, Mapping[str, float]]) -> str:
    """Return the description of a group as markdown: a table with a line for each backbone."""
    lines = [
        f"| backbone | {' | '.join(title for _, title in _TABLE)} |",
        "|---" * (len(_TABLE) + 1) + "|",
    ]
    for backbone, metrics in members.items():
        cells = [_cell(metrics, name) for name, _ in _TABLE]
        lines.append(f"| {backbone} | {' | '.join(cells)} |")
    words = (
        "Each backbone was searched by a sweep of its own, nested below, with the same number of "
        "trials and of training examples per trial. `bench report` compares them."
    )
    return "\n\n".join([words, "\n".join(lines)])[:TAG_LIMIT]


def _cell(metrics: Mapping[str, float], name: str) -> str:
    if name not in metrics:
        return "absent"
    if name.startswith(("trials_", "examples_")):
        return f"{metrics[name]:,.0f}"
    text = f"{metrics[name]:.{METRICS['score'].digits}f}"
    spread = metrics.get(f"{name}{SD}")
    return text if spread is None else f"{text} ± {spread:.{METRICS['score'].digits}f}"
