"""`bench compare` and `bench baseline`: is one side better than another, beyond noise?"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from harness.baselines import Baseline, baselines, check_baseline_name, save_baseline
from harness.cmd_find import Finder
from harness.cmd_floors import known_floors
from harness.console import console, note, on_stderr, say
from harness.errors import RegressionFound, StoreError
from harness.options import places
from harness.record import METRICS
from harness.store import Store
from reports.statistics import Estimate
from reports.versus import SPEED, Side, Versus, check_side, versus
from reports.versus_words import verdict_words

JSON_VERSION = 1


def compare(
    first: str,
    second: str,
    *,
    by: Sequence[str],
    fail_on_regression: bool,
    as_json: bool,
    out: Path,
    tracking_uri: str | None,
    experiment: str,
) -> None:
    """Say whether the second side is better or worse than the first.

    Args:
        first: a baseline, runs by id separated by commas, or a sweep.
        second: likewise.
        by: measures that the verdict rests on.
        fail_on_regression: whether a second side that is worse is an error.
        as_json: print one JSON object instead of a table.
        out: output folder.
        tracking_uri: of MLflow; None for the default.
        experiment: where to look for runs.

    Raises:
        UsageError: a side is not there, or they cannot be compared.
        RegressionFound: the second is worse, beyond noise, and that was asked for.
        TrackingError: the tracking store does not answer.
        StoreError: a baseline is damaged.
    """
    store = Store(out)
    with on_stderr():
        finder = Finder(store, tracking_uri, experiment)
        sides = [Side(name=name, evidence=finder.evidence(name)) for name in (first, second)]
        found = versus(*sides, by=by, floors=known_floors(store))
    if as_json:
        print(json.dumps(document(found), indent=1))  # noqa: T201 - for scripts
    else:
        console.print(_table(found))
        for line in verdict_words(found):
            note(line)
    if fail_on_regression and found.regressions:
        raise RegressionFound(
            f"{second} is worse than {first} beyond noise: "
            f"{', '.join(METRICS[name].title for name in found.regressions)}."
        )


def save(
    name: str,
    what: str,
    *,
    replace: bool,
    out: Path,
    tracking_uri: str | None,
    experiment: str,
) -> None:
    """Set runs aside as a baseline.

    Raises:
        UsageError: the name is taken or does not fit, or the runs cannot be compared with others.
        TrackingError: the tracking store does not answer.
        StoreError: it cannot be written.
    """
    check_baseline_name(name)
    store = Store(out)
    evidence = Finder(store, tracking_uri, experiment).evidence(what)
    side = Side(name=what, evidence=evidence)
    check_side(side)
    folder = save_baseline(
        store.baselines, name, [(item.record, item.folder) for item in evidence], source=what,
        saved_at=datetime.now(UTC).isoformat(timespec="seconds"), replace=replace,
    )  # fmt: skip
    note(f"baseline {name} is in {folder}: {len(evidence)} run(s) of {what}")
    note(f"next: `bench compare {name} RUN{places(out, tracking_uri, experiment)}`")


def show(*, out: Path) -> None:
    """List the baselines in the output folder."""
    root = Store(out).baselines
    found = list(baselines(root))
    if not found:
        note(f"No baselines in {root}: `bench baseline save NAME RUN` makes one.")
        return
    table = Table(box=None, pad_edge=False)
    for title, justify in (("baseline", "left"), ("saved", "left"), ("backbone", "left"),
                           ("seeds", "left"), ("data", "left"), ("score", "right"),
                           ("from", "left")):  # fmt: skip
        table.add_column(title, justify=justify, overflow="fold")  # type: ignore[arg-type]
    damaged = []
    for name, baseline in found:
        if isinstance(baseline, StoreError):
            damaged.append(str(baseline))
        else:
            table.add_row(name, *_row(baseline))
    console.print(table)
    for reason in damaged:
        say(reason)


def document(found: Versus) -> dict[str, Any]:
    """Return a comparison as plain JSON values, for scripts."""
    return {
        "version": JSON_VERSION,
        "first": _side(found.first),
        "second": _side(found.second),
        "measures": {
            name: {
                "first": found.means[name][0],
                "second": found.means[name][1],
                "difference": dataclasses.asdict(tested.test.difference),
                "p_value": tested.test.p_value,
                "method": tested.test.method,
            }
            for name, tested in found.measures.items()
        },
        SPEED: dataclasses.asdict(found.speed),
        "outcomes": dict(found.outcomes),
        "regressions": list(found.regressions),
        "words": list(verdict_words(found)),
    }


def _side(side: Side) -> dict[str, Any]:
    records = [item.record for item in side.evidence]
    return {
        "name": side.name,
        "runs": [record.run_id for record in records],
        "seeds": [record.config.seed for record in records],
        "config": records[0].config.to_json(),
    }


def _table(found: Versus) -> Table:
    table = Table(title=f"{found.second.name} against {found.first.name}")
    table.add_column("measure")
    for side in (found.first, found.second):
        seeds = len(side.evidence)
        table.add_column(f"{side.name} ({seeds} seed{'s' * (seeds > 1)})", justify="right")
    table.add_column("difference [95 %]", justify="right")
    table.add_column("p", justify="right")
    for name, tested in found.measures.items():
        digits = METRICS[name].digits + 1
        one, two = found.means[name]
        table.add_row(
            METRICS[name].title, f"{one:.{digits}f}", f"{two:.{digits}f}",
            _signed(tested.test.difference, digits), f"{tested.test.p_value:.4f}",
        )  # fmt: skip
    speed, digits = found.speed, METRICS[SPEED].digits
    both = ["absent" if side.value is None else f"{side.value:,.{digits}f}"
            for side in (speed.first, speed.second)]  # fmt: skip
    ratio = "" if speed.ratio is None else f"{100 * (speed.ratio - 1):+.1f} %"
    table.add_row(METRICS[SPEED].title, *both, ratio, "")
    return table


def _signed(estimate: Estimate, digits: int) -> str:
    value = f"{estimate.value or 0.0:+.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{estimate.low:+.{digits}f}, {estimate.high:+.{digits}f}]"


def _row(baseline: Baseline) -> list[str]:
    records = [record for record, _ in baseline.runs]
    scores = [value for r in records if (value := r.value("test_score")) is not None]
    data = records[0].data
    return [
        baseline.saved_at[:16].replace("T", " "),
        records[0].config.backbone,
        ", ".join(str(record.config.seed) for record in records),
        "" if data is None else f"{data.source} {data.digest[:8]}",
        f"{sum(scores) / len(scores):.4f}" if scores else "absent",
        baseline.source,
    ]
