"""What MLflow's page of our experiment shows: saved views with our columns. Imports no MLflow."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

DEFAULT_EXPERIMENT = "bench"

ALL_RUNS = "bench"
NEWEST_SWEEP = "bench-sweep"
SWEEPS = "bench-sweeps"
_VIEW_TAG = "mlflow.sharedViewState."

_COLUMNS = {
    "tags.`bench.status`": 100,
    "metrics.`validation_score`": 120,
    "metrics.`test_score`": 90,
    "metrics.`test_accuracy`": 110,
    "metrics.`test_mean_iou`": 110,
    "metrics.`images_per_s`": 110,
    "metrics.`optimism_gap`": 105,
    "params.`learning_rate`": 110,
    "params.`class_weight`": 105,
    "params.`box_weight`": 95,
    "metrics.`trials_finished`": 110,
    "metrics.`trials_pruned`": 105,
    "metrics.`trials_failed`": 95,
    "tags.`bench.reason`": 260,
}
"""Columns in their order, with their width in pixels."""

_SWEEP_COLUMNS = {
    "tags.`bench.status`": 100,
    "params.`backbone`": 120,
    "metrics.`validation_score`": 120,
    "metrics.`test_score`": 90,
    "metrics.`test_score_low`": 110,
    "metrics.`test_score_high`": 115,
    "metrics.`test_accuracy`": 110,
    "metrics.`test_mean_iou`": 110,
    "metrics.`images_per_s`": 110,
    "metrics.`final_seeds`": 90,
    "metrics.`best/learning_rate`": 140,
    "metrics.`best/class_weight`": 135,
    "metrics.`best/box_weight`": 125,
    "metrics.`optimism_gap`": 105,
    "metrics.`trials_finished`": 110,
}
"""The same where sweeps are compared."""

_FIRST = {"attributes.`Run Name`": 230, "runDateAndNestInfo": 120, "duration": 80}


def experiment_tags() -> dict[str, str]:
    """Return the tags of a new experiment: its kind, a description and its first views."""
    return {
        # Without it MLflow opens the page for traces of language models, not the runs.
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.note.content": "Runs of `bench`. Its saved views (top right) choose the columns.",
        f"{_VIEW_TAG}{ALL_RUNS}": _view("all runs, by sweep", {}),
        **sweeps_view(),
    }


def sweeps_view() -> dict[str, str]:
    """Return tag and value of the view of all sweeps, one row each: those that MLflow compares."""
    facets = {
        "searchFilter": "tags.`bench.role` = 'sweep'",
        "orderByKey": "metrics.`test_score`",
        "orderByAsc": False,
    }
    return {f"{_VIEW_TAG}{SWEEPS}": _view("sweeps, to compare", facets, _SWEEP_COLUMNS)}


def sweep_view(name: str, metric: str, *, ascending: bool, group: bool = False) -> tuple[str, str]:
    """Return tag and value of the view of one sweep: every trial in a flat list, best first.

    MLflow folds the trials of a sweep away unless the table is sorted or filtered.

    Args:
        name: of the sweep, or of a group of sweeps; holds no quotes.
        metric: to sort by, such as "validation_score".
        ascending: whether less is better.
        group: whether it is a group: then the trials of all its sweeps are listed.
    """
    of = f"LIKE '{name}.%'" if group else f"= '{name}'"
    facets = {
        "searchFilter": f"tags.`bench.sweep` {of}",
        "orderByKey": f"metrics.`{metric}`",
        "orderByAsc": ascending,
    }
    return f"{_VIEW_TAG}{NEWEST_SWEEP}", _view(f"newest sweep: {name}", facets)


def page_path(experiment: Mapping[str, Any]) -> str:
    """Return path and query of an experiment's table of runs: newest sweep, else all runs.

    Args:
        experiment: as MLflow's REST interface describes it.
    """
    tags = {tag["key"] for tag in experiment.get("tags", [])}
    known = [view for view in (NEWEST_SWEEP, ALL_RUNS) if f"{_VIEW_TAG}{view}" in tags]
    view = f"&viewStateShareKey={known[0]}" if known else ""
    # Without the first part the pages open on what they offer for language models.
    query = f"?workflowType=machine_learning{view}"
    return f"/#/experiments/{experiment['experiment_id']}/runs{query}"


def _view(title: str, facets: Mapping[str, object], columns: Mapping[str, int] = _COLUMNS) -> str:
    """Return a saved view as the text that MLflow's pages read from an experiment's tag."""
    now_ms = int(time.time() * 1000)
    state = {
        **facets,
        "selectedColumns": list(columns),
        "columnOrder": [*_FIRST, *columns],
        "columnWidths": {**_FIRST, **columns},
        # MLflow hides all but ten runs in charts unless told otherwise.
        "runsHiddenMode": "SHOW_ALL",
    }
    view = {"name": title, "createdAt": now_ms, "updatedAt": now_ms, "state": json.dumps(state)}
    return json.dumps(view)
