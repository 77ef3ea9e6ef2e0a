"""Whether Optuna, MLflow and the local records tell the same of a sweep of the toy."""

from __future__ import annotations

from collections import Counter

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from harness import mlflow_names as names
from harness.mlflow_api import MlflowClient, Run
from harness.mlflow_client import open_client
from harness.record import RunRecord
from harness.store import Store
from harness.tracking_uri import resolve_uri
from sweeps.study import JOURNAL_FILE, load_table

ALL_RUNS = 3  # mlflow.entities.ViewType: those in the trash too


def check_stores(
    store: Store, *, finals: int = 3, uri: str | None = None, experiment: str = "bench"
) -> None:
    """Check that a finished sweep called "toy" is the same thing everywhere."""
    records = {record.run_id: record for record in store.records()}
    _, rows = load_table(store, "toy")
    _check_study(store, len(rows))
    client = open_client(resolve_uri(uri, store.root))
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    everything = client.search_runs(
        [found.experiment_id], run_view_type=ALL_RUNS, max_results=5000
    )
    assert "RUNNING" not in {run.info.status for run in everything}
    runs = [run for run in everything if run.info.lifecycle_stage == "active"]
    times = Counter(run.data.tags[names.RUN_ID] for run in runs)
    assert times == Counter([*records, "sweep:toy"]), "each exactly once"
    by_id = {run.data.tags[names.RUN_ID]: run for run in runs}
    parent = by_id.pop("sweep:toy")
    for run_id, run in by_id.items():
        _check_run(client, run, records[run_id], parent)
    _check_parent(parent, records, trials=len(rows), finals=finals)


def _check_study(store: Store, trials: int) -> None:
    """Read the journal as anybody would who has Optuna and not us."""
    path = str(store.sweep_dir("toy") / JOURNAL_FILE)
    storage = JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))
    study = optuna.load_study(study_name="toy", storage=storage)
    assert [trial.number for trial in study.trials] == list(range(trials))
    assert all(trial.state.is_finished() for trial in study.trials)


def _check_run(client: MlflowClient, run: Run, record: RunRecord, parent: Run) -> None:
    assert run.info.status == names.mlflow_status(record.status)
    tags = run.data.tags
    assert tags[names.STATUS] == record.status
    assert tags[names.PARENT] == parent.info.run_id
    assert tags.get(names.REASON) == record.reason
    assert run.data.params == names.params(record.config.to_json())
    assert run.data.metrics["validation_score"] == record.value("validation_score")
    history = client.get_metric_history(run.info.run_id, "epoch/validation_score")
    assert sorted((metric.step, metric.value) for metric in history) == [
        (point.epoch, point.metrics["validation_score"]) for point in record.history
    ]


def _check_parent(parent: Run, records: dict[str, RunRecord], *, trials: int, finals: int) -> None:
    assert (parent.info.status, parent.data.tags[names.STATUS]) == ("FINISHED", "finished")
    assert names.REASON not in parent.data.tags
    states = Counter(record.status for record in records.values() if record.role == "trial")
    assert states.total() == trials
    counts = {f"trials_{s}": states[s] for s in ("finished", "pruned", "failed", "interrupted")}
    assert {name: parent.data.metrics[name] for name in counts} == counts
    assert sum(record.role == "final" for record in records.values()) == finals
