"""report.json: every number of the text at full precision, byte-stable, without NaN."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from records import fabricate
from test_markdown import golden_runs

from harness.config import RunConfig
from reports.compare import compare
from reports.document import DOCUMENT_VERSION, document, dumps
from reports.evidence import load
from reports.markdown import Gallery, render

# A decimal number that is no part of a version, a name or a command.
DECIMAL = re.compile(r"(?<![\w.\-+=])-?\d[\d,]*\.\d+(?![\w.])")


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, bool):
        return
    if isinstance(value, (int, float)):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from numbers(item)
    elif isinstance(value, list):
        for item in value:
            yield from numbers(item)


def shown(text: str) -> set[str]:
    """Return the decimal numbers of a report, code, machines and the meaning of words apart."""
    body = text.partition("## Data and machines")[0]
    plain = re.sub(r"```.*?```|`[^`\n]*`", "", body, flags=re.S)
    return {found.replace(",", "") for found in DECIMAL.findall(plain)}


def test_every_number_of_the_text_is_the_rounding_of_one_in_it(tmp_path: Path) -> None:
    comparison = compare(load(*run) for run in golden_runs(tmp_path))
    text = render(comparison, title="T", gallery=Gallery())
    known = list(numbers(json.loads(dumps(document(comparison, title="T")))))
    tokens = shown(text)
    assert len(tokens) > 50
    missing = [
        token for token in sorted(tokens)
        if not any(f"{number:.{len(token.partition('.')[2])}f}" == token for number in known)
    ]  # fmt: skip
    assert missing == []


def test_values_are_those_of_the_comparison(tmp_path: Path) -> None:
    runs = [
        fabricate(tmp_path, f"{name}-{seed}", accuracy=accuracy,
                  config=RunConfig(backbone=name, dataset="mnist", seed=seed))
        for name, accuracy in (("a-cnn", 0.99), ("b-cnn", 0.8))
        for seed in range(2)
    ]  # fmt: skip
    comparison = compare(load(*run) for run in runs)
    values = json.loads(dumps(document(comparison, title="Two")))
    assert (values["version"], values["title"]) == (DOCUMENT_VERSION, "Two")
    (board,), (table,) = comparison.tables, values["tables"]
    assert [row["name"] for row in table["contenders"]] == ["a-cnn", "b-cnn"]
    assert [row["ranks"] for row in table["contenders"]] == [[1, 1], [2, 2]]
    score = board.contenders[0].quality["score"]
    assert table["contenders"][0]["quality"]["score"]["value"] == score.value
    (verdict,) = table["verdicts"]
    tested = board.verdicts[0].measures["score"]
    assert (verdict["better"], verdict["worse"]) == ("a-cnn", "b-cnn")
    assert verdict["measures"]["score"]["p_holm"] == tested.p_holm
    assert verdict["detectable"] == tested.test.noise.detectable(alarms=0.05)
    assert [line["run_id"] for line in values["runs"]] == [run.run_id for run in comparison.runs]


def test_every_number_stands_beside_its_runs(tmp_path: Path) -> None:
    comparison = compare(load(*run) for run in golden_runs(tmp_path))
    values = document(comparison, title="T", links={"lone": [("MLflow", "http://there")]})
    known = {run["run_id"] for run in values["runs"]}
    for table in values["tables"]:
        rows = {row["name"]: row["run_ids"] for row in table["contenders"]}
        assert all(rows.values())
        for verdict in table["verdicts"]:
            assert verdict["runs"] == {
                name: list(rows[name]) for name in (verdict["first"], verdict["second"])
            }
    (search,) = values["searches"]
    runs = search["runs"]
    assert {run_id for ids in runs.values() for run_id in ids} <= known
    assert runs["best"] == [search["best"]["run_id"]]
    assert runs["test"] == runs["validation"] == [f"tune-final-{again}" for again in range(3)]
    assert runs["gap"] == [*runs["best"], *runs["test"]]
    assert len(runs["consumed"]) == 14
    links = {run["run_id"]: run["links"] for run in values["runs"] if run["links"]}
    assert links == {"lone": {"MLflow": "http://there"}}


def test_what_is_not_finite_is_an_error_and_no_invalid_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        dumps({"value": math.nan})
