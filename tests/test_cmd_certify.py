"""`bench certify` for real: processes of each strategy, a certificate, MLflow, and refusals."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import warm_process
from certified import certificate, contender, quantity
from rich.console import Console

from harness.certificate import Certificate
from harness.cmd_certify import quantity_table, refusal, remarks, speed_table
from harness.mlflow_client import open_client
from harness.mlflow_names import CERTIFICATE_ROLE, ROLE
from harness.store import Store
from harness.tracking_uri import resolve_uri

SMALL = (
    "--dataset", "digits", "--train-examples", "64", "--global-batch-size", "8", "--steps", "3",
)  # fmt: skip


def bench(out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # Neither a terminal's width nor the user's own settings.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "BENCH_OUT": str(out)}
    return warm_process.run("certify", *words, environment=environment)


def kept(out: Path) -> Certificate:
    (path,) = (out / "certificates").glob("*.json")
    return Certificate.loads(path.read_text(encoding="utf-8"))


def tracked(out: Path) -> list[tuple[str, list[str]]]:
    """Return status and artifacts of each certificate in MLflow."""
    client = open_client(resolve_uri(None, Store(out).root))
    experiment = client.get_experiment_by_name("bench")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], f"tags.`{ROLE}` = '{CERTIFICATE_ROLE}'")
    return [
        (run.info.status, [a.path for a in client.list_artifacts(run.info.run_id, "certificate")])
        for run in runs
    ]


@pytest.mark.slow
def test_one_process_two_devices_and_two_processes_train_alike(tmp_path: Path) -> None:
    done = bench(
        tmp_path, "--strategies", "cpu,mirrored,multiworker", "--backbone", "nets:fused", *SMALL
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "certified against cpu: mirrored, multiworker" in done.stdout
    found = kept(tmp_path)
    assert found.certified
    seen = [(each.spec, each.workers, each.replicas) for each in found.contenders]
    assert seen == [("mirrored", 1, 2), ("multiworker", 2, 2)]
    names = [[each.name for each in one.quantities] for one in found.contenders]
    assert names[0] == names[1]
    assert len(names[0]) == 7 + 2 * 4, "four sizes of evaluation, each counted and compared"
    assert found.controls == 6
    assert (found.config.backbone, found.steps, found.data.n_train) == ("nets:fused", 3, 64)
    assert tracked(tmp_path) == [("FINISHED", [f"certificate/{found.name}.json"])]


@pytest.mark.slow
def test_a_net_that_looks_at_its_part_of_the_batch_is_refused(tmp_path: Path) -> None:
    done = bench(tmp_path, "--strategies", "cpu,mirrored", "--backbone", "nets:centred", *SMALL)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "Error: Not certified: `mirrored` must have the first loss of `cpu`, but the difference "
        "(relative) is "
    )
    assert "Traceback" not in done.stdout
    assert not kept(tmp_path).certified
    assert [status for status, _ in tracked(tmp_path)] == ["FAILED"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--strategies", "cpu,mirored"], "Unknown strategy 'mirored'. Did you mean 'mirrored'?"),
        (["--strategies", "cpu"], "--strategies must name at least 2"),
        (["--strategies", "cpu,mirrored:3"], "but got 64. Use 63 or 66."),
        (["--steps", "1"], "--steps must be 2 to 1000, got 1."),
        (["--global-batch-size", "0"], "`global_batch_size` must be at least 1, got 0."),
        (["--backbone", "patch"], "Unknown backbone 'patch'."),
    ],
)
def test_bad_input_is_refused_at_once(words: list[str], reason: str, tmp_path: Path) -> None:
    done = bench(tmp_path, *words)
    assert done.returncode == 2
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_too_few_examples_are_told_with_a_batch_that_fits(tmp_path: Path) -> None:
    done = bench(tmp_path, "--dataset", "digits", "--global-batch-size", "512")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: A certificate evaluates 3 global batches and 5 examples")
    assert "1,541 in all, but there are 1,197 training" in done.stderr
    assert done.stderr.endswith("Use --global-batch-size 397 or less.\n")


def drawn(table: object) -> str:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_tables_fit_a_terminal_of_80_columns() -> None:
    names = ("outputs after an update", "outputs of 3077 in order")
    found = certificate(
        contenders=(
            contender("multiworker", quantities=tuple(quantity(n, -1.23e-7) for n in names)),
        )
    )
    words = drawn(quantity_table(found, found.contenders[0]))
    assert "…" not in words
    assert all(name in words for name in names)
    assert "…" not in drawn(speed_table(found))


def test_a_refusal_says_values_limit_and_where_it_comes_from() -> None:
    bad = dataclasses.replace(quantity("first gradient norm", 1.0), reference=0.5, found=1.0)
    found = certificate(contenders=(contender(quantities=(bad,)),))
    assert refusal(found, found.contenders[0], bad) == (
        "Not certified: `mirrored` must have the first gradient norm of `cpu`, but the difference "
        "(relative) is 1 (0.5 on cpu, 1 here); the limit is 2e-06 (floor of float32 sums). Do not "
        "compare results of the two."
    )


def test_what_a_reader_must_know_is_said() -> None:
    words = "\n".join(remarks(certificate(silenced=("dropout",), controls=6)))
    assert "the rates of 1 random layer at 0 (dropout)" in words
    assert "share the cores of one machine" in words
    assert "6 control runs of cpu" in words
    assert "once with XLA" in words
    words = "\n".join(remarks(certificate(controls=5)))
    assert "random" not in words
    assert "XLA" not in words
    assert json.loads(certificate().dumps())["controls"] == 5
