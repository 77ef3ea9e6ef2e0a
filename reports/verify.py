"""Does a report still say what its evidence says? Recomputes its numbers from predictions.

Needs the report's folder alone: no network, no MLflow, no TensorFlow; NumPy and the standard
library. First every file must be the one that was written. Then measures, intervals and verdicts
are computed again from the predictions of every image (`reports.recompute`) and held against
report.json and the records.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from reports import recompute
from reports.folder import DOCUMENT_FILE, EVIDENCE, MANIFEST_FILE, stays_inside
from reports.recompute import Interval, Values

_CLOSE = 1e-6
"""Differences that do not count: sums of other order, other releases of libraries."""

_DECIDES = 0.05

Outcomes = Mapping[str, Values]


@dataclass(slots=True)
class Findings:
    """What a verification found.

    Attributes:
        files: that are as they were written.
        numbers: that were computed again and agree.
        images: whose predictions were used.
        broken: what no longer holds, in words that name it.
        unchecked: what could not be computed again, and why.
    """

    files: int = 0
    numbers: int = 0
    images: int = 0
    broken: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    def hold(self, what: str, said: object, found: float | None) -> None:
        """Note whether a number of the report is the one that was found."""
        if (said is None and found is None) or (
            isinstance(said, (int, float)) and found is not None and _close(float(said), found)
        ):
            self.numbers += 1
        else:
            self.broken.append(f"{what} is {_words(said)} in the report, but {_words(found)}")

    def hold_interval(self, what: str, said: Mapping[str, Any], found: Interval) -> None:
        """Note whether an estimate of the report is the interval that was found."""
        self.hold(what, said["value"], found.value)
        self.hold(f"lower end of {what}", said["low"], found.low)
        self.hold(f"upper end of {what}", said["high"], found.high)


def verify(folder: Path) -> Findings:
    """Check every file of a report, and compute its numbers again.

    A report that is damaged beyond reading is a finding too, not an error.

    Args:
        folder: of the report.
    """
    findings = Findings()
    contents = _files(folder, findings)
    try:
        _numbers(json.loads(contents[DOCUMENT_FILE]), contents, findings)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        findings.broken.append(f"{DOCUMENT_FILE} cannot be read: {_plain(error)}")
    return findings


def _numbers(
    document: Mapping[str, Any], contents: Mapping[str, bytes], findings: Findings
) -> None:
    """Hold the numbers of a report against its evidence."""
    lines = {run["run_id"]: run for run in document["runs"]}
    tables = document["tables"]
    seen: dict[str, Outcomes] = {}
    ids: dict[str, bytes] = {}
    for run_id in dict.fromkeys(
        i for t in tables for row in t["contenders"] for i in row["run_ids"]
    ):
        _run(run_id, lines[run_id], contents, findings, seen, ids)
    for place, board in enumerate(tables, 1):
        where = f"table {place}: " if len(tables) > 1 else ""
        for row in board["contenders"]:
            _row(where, row, seen, findings)
            _recorded(where, row, contents, findings)
        _verdicts(where, board, seen, ids, findings)


def _files(folder: Path, findings: Findings) -> dict[str, bytes]:
    """Return the content of each file that is as it was written, by name."""
    try:
        listed = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))["files"]
        names = {str(name): [str(d) for d in digests] for name, digests in listed.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        findings.broken.append(
            f"{MANIFEST_FILE}, which lists the report's files, cannot be read: {_plain(error)}"
        )
        return {}
    contents = {}
    for name, digests in sorted(names.items()):
        if not stays_inside(name):
            findings.broken.append(f"{name} leads out of the report")
            continue
        try:
            content = (folder / name).read_bytes()
        except OSError as error:
            findings.broken.append(f"{name} cannot be read: {error.strerror}")
            continue
        contents[name] = content
        if hashlib.sha256(content).hexdigest() in digests:
            findings.files += 1
        else:
            findings.broken.append(f"{name} was changed after it was written")
    return contents


def _run(
    run_id: str,
    line: Mapping[str, Any],
    contents: Mapping[str, bytes],
    findings: Findings,
    seen: dict[str, Outcomes],
    ids: dict[str, bytes],
) -> None:
    """Hold the measures of a run's record against its predictions."""
    record_name, arrays_name = (
        f"{EVIDENCE}/{run_id}/{name}" for name in ("record.json", "predictions-test.npz")
    )
    if arrays_name not in contents or record_name not in contents:
        findings.unchecked.append(f"run {run_id}: its predictions are not in the report")
        return
    try:
        with np.load(io.BytesIO(contents[arrays_name]), allow_pickle=False) as loaded:
            arrays = {name: loaded[name] for name in loaded.files}
        found = recompute.outcomes(arrays)
        measures = json.loads(contents[record_name])["measures"]
        ids[run_id] = b"".join(
            np.ascontiguousarray(arrays[k]).tobytes() for k in ("ids", "labels", "boxes")
        )
    except Exception as error:  # noqa: BLE001 - damaged bytes raise whatever a decoder does
        findings.broken.append(f"the evidence of run {run_id} cannot be read: {_plain(error)}")
        return
    seen[run_id] = found
    findings.images += len(found["score"])
    for name, values in found.items():
        said = measures.get(f"test_{name}", {}).get("value")
        findings.hold(f"test {name} of run {run_id}", said, float(values.mean()))
    findings.hold(f"score of run {run_id} in the list of runs", line.get("score"),
                  float(found["score"].mean()))  # fmt: skip


def _row(where: str, row: Mapping[str, Any], seen: Mapping[str, Outcomes], f: Findings) -> None:
    """Hold a row of a leaderboard against the outcomes of its runs."""
    runs = [seen.get(run_id) for run_id in row["run_ids"]]
    known = [run for run in runs if run is not None]
    if len(known) < len(runs):
        f.unchecked.append(f"{where}row {row['name']}: not all of its runs can be checked")
        return
    for name, said in row["quality"].items():
        if len(known) > 1:
            found = recompute.over_seeds([float(run[name].mean()) for run in known])
        else:
            share = name in ("accuracy", "localization_accuracy")
            found = recompute.over_images(known[0][name], share=share)
        f.hold_interval(f"{where}{name} of {row['name']}", said, found)


def _recorded(
    where: str, row: Mapping[str, Any], contents: Mapping[str, bytes], findings: Findings
) -> None:
    """Hold what predictions do not tell against what the records of a row say."""
    names = [f"{EVIDENCE}/{run_id}/record.json" for run_id in row["run_ids"]]
    if not all(name in contents for name in names):
        return  # already told
    records = [json.loads(contents[name])["measures"] for name in names]
    for name, said in row.get("shift", {}).items():
        if said["value"] is not None:
            values = [float(each[name]["value"]) for each in records]
            found = recompute.over_seeds(values, most=math.inf)
            findings.hold_interval(f"{where}{name} of {row['name']}", said, found)


def _verdicts(
    where: str,
    board: Mapping[str, Any],
    seen: Mapping[str, Outcomes],
    ids: Mapping[str, bytes],
    findings: Findings,
) -> None:
    """Hold the verdicts of a table, and the ranks that they leave open, against outcomes."""
    rows = {row["name"]: row["run_ids"] for row in board["contenders"]}
    judged = [each for each in board["verdicts"] if each["absent"] is None]
    names = list(dict.fromkeys(n for each in judged for n in (each["first"], each["second"])))
    missing = [run_id for n in names for run_id in rows.get(n, ["?"]) if run_id not in seen]
    if missing:
        findings.unchecked.append(f"{where}verdicts: run {missing[0]} cannot be checked")
        return
    if len({ids[run_id] for n in names for run_id in rows[n]}) > 1:
        findings.broken.append(f"{where}verdicts: the runs did not predict the same images")
        return
    measures = list(judged[0]["measures"]) if judged else []
    values = {
        (measure, n): np.stack([seen[i][measure] for i in rows[n]])
        for measure in measures
        for n in names
    }
    means: dict[tuple[str, str], Values] = {}
    for measure in measures:
        pairs = [((measure, each["first"]), (measure, each["second"])) for each in judged]
        tests = _tests(pairs, values, means)
        holm = recompute.corrected([test.p_value for test in tests])
        for each, test, p_holm in zip(judged, tests, holm, strict=True):
            pair = f"{where}{measure} of {each['first']} against {each['second']}"
            said = each["measures"][measure]
            findings.hold_interval(f"difference in {pair}", said["test"]["difference"],
                                   test.difference)  # fmt: skip
            findings.hold(f"p-value of {pair}", said["test"]["p_value"], test.p_value)
            findings.hold(f"corrected p-value of {pair}", said["p_holm"], p_holm)
            if measure == "score":
                better = None
                if p_holm <= _DECIDES:
                    better = each["first" if test.difference.value > 0 else "second"]
                if better == each["better"]:
                    findings.numbers += 1
                else:
                    findings.broken.append(
                        f"the verdict on {pair} is {each['better'] or 'cannot separate'} in the "
                        f"report, but {better or 'cannot separate'}"
                    )
    _ranks(where, board, judged, findings)


_Column = tuple[str, str]
"""Measure, and name of a contender."""


def _tests(
    pairs: Sequence[tuple[_Column, _Column]],
    values: Mapping[_Column, Values],
    means: dict[_Column, Values],
) -> list[recompute.Test]:
    """Return the test of each pair; `means` over resamples are filled in when first needed."""
    tests = []
    for one, other in pairs:
        first, second = values[one], values[other]
        if len(first) > 1 and len(second) > 1:
            tests.append(recompute.crossed(first, second))
        elif one[0] == "accuracy" and len(first) == len(second) == 1:
            tests.append(recompute.mcnemar(first[0], second[0]))
        else:
            if not means:
                columns = {column: each.mean(axis=0) for column, each in values.items()}
                means.update(recompute.resampled_means(columns))
            tests.append(
                recompute.bootstrapped(
                    first.mean(axis=0), second.mean(axis=0), means[one], means[other]
                )
            )
    return tests


def _ranks(
    where: str, board: Mapping[str, Any], judged: Sequence[Mapping[str, Any]], findings: Findings
) -> None:
    for row, name in ((row, row["name"]) for row in board["contenders"]):
        decided = [each for each in judged if name in (each["first"], each["second"])]
        ahead = sum(each["better"] not in (None, name) for each in decided)
        behind = sum(each["better"] == name for each in decided)
        for what, said, found in zip(
            ("best", "worst"), row["ranks"], (1 + ahead, len(board["contenders"]) - behind),
            strict=True,
        ):  # fmt: skip
            findings.hold(f"{where}{what} rank of {name}", said, found)


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_CLOSE, abs_tol=_CLOSE)


def _words(value: object) -> str:
    return (
        f"{value:.6g}" if isinstance(value, float) else "absent" if value is None else str(value)
    )


def _plain(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
