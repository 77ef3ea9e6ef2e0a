"""Writes runs to MLflow: the local folder is the truth, a run in MLflow its projection.

Every method may be repeated, after a crash between any two calls too: runs are found by the tags
`bench.run_id` and `bench.store` before one is made, and epochs that are there are not sent again.
Everything here waits for MLflow and raises what MLflow raises; `harness.track` adds patience.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from harness import mlflow_names as names
from harness.config import RunConfig
from harness.errors import TrackingError
from harness.liveness import Owner, is_alive
from harness.mlflow_api import Metric, MlflowException, Param, Run, RunTag
from harness.mlflow_artifacts import dataset_inputs, run_files
from harness.mlflow_client import Connection
from harness.mlflow_group import group_of, is_group, manifest_file
from harness.mlflow_sweep import less_is_better, objective, sweep_params
from harness.mlflow_view import sweep_view, sweeps_view
from harness.record import DataIdentity, EpochPoint, Role, RunRecord, Status
from harness.store import Store

Illustrate = Callable[[RunRecord, Path], Sequence[Path]]
"""Draws the pictures of a run, given its record and folder; returns the files."""

_BATCH = 1000  # metrics in one call: MLflow refuses more
_PAGE = 1000
_DIED = "its process died without a word"


class RunWriter:
    """Creates, fills and ends runs in one experiment.

    Args:
        connection: where to write.
        store: the output folder.
        store_id: tells its runs from those of other folders on the same server.
        owner: the mark of this process.
        illustrate: draws pictures to be sent with a run; None for none.
    """

    def __init__(
        self,
        connection: Connection,
        store: Store,
        *,
        store_id: str,
        owner: Owner,
        illustrate: Illustrate | None = None,
    ) -> None:
        self.connection = connection
        self._client = connection.client
        self._store = store
        self._store_id = store_id
        self._owner = owner
        self._illustrate = illustrate
        self._live: dict[str, str] = {}  # bench run id -> MLflow run id

    def find(self, key: str) -> Run | None:
        """Return the run of this folder with the given `bench.run_id`; further ones are removed.

        There is more than one only if a reply of the server got lost after it had made the run,
        or if it hung and made the run later. The one in use, or that was written to, is kept.
        """
        runs = list(self.search(**{names.RUN_ID: key, names.STORE: self._store_id}))
        live = self._live.get(key)
        runs.sort(key=lambda run: (run.info.run_id != live, names.NOTE not in run.data.tags))
        for double in runs[1:]:
            self._discard(double)
        return runs[0] if runs else None

    def search(self, *, status: str | None = None, **tags: str) -> Iterator[Run]:
        """Yield every active run with these tags and status, oldest first."""
        clauses = [f"tags.`{name}` = {_quoted(value)}" for name, value in tags.items()]
        if status is not None:
            clauses.append(f"attributes.status = '{status}'")
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [self.connection.experiment_id], " and ".join(clauses), max_results=_PAGE,
                order_by=["attributes.start_time ASC"], page_token=token,
            )  # fmt: skip
            yield from page
            token = page.token
            if not token:
                return

    def open_parent(
        self, name: str, manifest: Mapping[str, Any], *, live: bool, group: str | None = None
    ) -> str:
        """Return the MLflow id of the run of a sweep or group, made or opened again.

        Args:
            name: of the sweep or group.
            manifest: what it is; a group names its members.
            live: whether this process owns it.
            group: MLflow id of the run of the sweep's group.
        """
        key = names.sweep_key(name)
        if live and key in self._live:
            return self._live[key]
        run = self.find(key)
        run_id = (
            run.info.run_id if run is not None else self._create_parent(key, name, manifest, group)
        )
        if live:
            self._forget_reason(run)
            self._client.update_run(run_id, status="RUNNING")
            self._client.set_tag(run_id, names.OWNER, self._owner.name)
            self._client.set_tag(run_id, names.STATUS, "running")
            self._client.log_dict(run_id, dict(manifest), manifest_file(manifest))
            self._show_views(name, manifest)
            self._live[key] = run_id
        return run_id

    def find_parent(self, sweep: str) -> str | None:
        """Return the newest run of a sweep or group, whichever folder it came from."""
        for role in (names.SWEEP_ROLE, names.GROUP_ROLE):
            found = list(self.search(**{names.ROLE: role, names.SWEEP: sweep}))
            if found:
                return str(found[-1].info.run_id)
        return None

    def begin(
        self, run_id: str, role: Role, sweep: str | None, trial: int | None, config: RunConfig,
        *, parent: str | None,
    ) -> None:  # fmt: skip
        """Make a RUNNING run; one that an earlier attempt left behind goes to MLflow's trash."""
        if run_id in self._live:
            return
        old = self.find(run_id)
        if old is not None:
            self._discard(old)
        tags = names.begin_tags(run_id, role, sweep, trial, config)
        name = names.run_name(role, trial, config)
        params = names.params(config.to_json())
        self._live[run_id] = self._create(name, tags, params, parent, _now_ms())

    def epoch(self, run_id: str, point: EpochPoint) -> None:
        """Add one epoch to a run begun here; without `begin` it waits for `finish`."""
        if run_id in self._live:
            metrics = _metrics(names.epoch_metrics(point), point.epoch, _now_ms())
            self._client.log_batch(self._live[run_id], metrics=metrics)

    def finish(self, record: RunRecord, digest: str, *, parent: str | None) -> str:
        """Make the run in MLflow equal to its record, however much of it is there; return its id.

        Args:
            record: of a run that has ended.
            digest: SHA-256 of its `record.json`.
            parent: MLflow id of the sweep's run.
        """
        self._live.pop(record.run_id, None)
        run_id, sent, start_ms = self._place(record, parent)
        end_ms = start_ms + round(1000 * record.duration_s)
        missing = [point for point in record.history if point.epoch not in sent]
        self._log_epochs(run_id, missing, start_ms, end_ms)
        last = record.history[-1].epoch if record.history else 0
        self._client.log_batch(run_id, metrics=_metrics(names.final_metrics(record), last, end_ms))
        if record.data is not None:
            self._log_data(run_id, record.data)
        tags = names.end_tags(record) | {names.RECORD_DIGEST: digest}
        tags |= self._log_files(run_id, record)
        self._client.log_batch(run_id, tags=_tags(tags))
        name = names.run_name(record.role, record.trial, record.config, record.status)
        self._client.update_run(run_id, name=name)
        self._client.set_terminated(run_id, names.mlflow_status(record.status), end_ms)
        return run_id

    def update_parent(
        self,
        parent: str,
        metrics: Mapping[str, float],
        note: str,
        step: int,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Write what a sweep amounts to by now; `step` is the number of runs that have ended."""
        self._client.log_batch(
            parent,
            metrics=_metrics(metrics, step, _now_ms()),
            tags=_tags({names.NOTE: note, **(tags or {})}),
        )

    def close_parent(self, name: str, parent: str, status: str, reason: str | None) -> None:
        """End a sweep's parent run.

        Args:
            name: of the sweep.
            parent: its MLflow id.
            status: finished, failed or interrupted; anything else reads as finished.
            reason: why, unless it finished.
        """
        self._live.pop(names.sweep_key(name), None)
        ends = {"failed": "FAILED", "interrupted": "KILLED"}
        tags = {names.STATUS: status} | ({names.REASON: reason} if reason else {})
        self._client.log_batch(parent, tags=_tags(tags))
        self._client.set_terminated(parent, ends.get(status, "FINISHED"))

    def bury_dead(self, keep: Iterable[str] = ()) -> int:
        """End each run of this folder that reads RUNNING though its process is gone.

        One that a server made late, beside another of the same name, is removed instead.

        Args:
            keep: `bench.run_id`s to leave as they are.

        Returns:
            How many were ended.
        """
        running = list(self.search(status="RUNNING", **{names.STORE: self._store_id}))
        dead = [run for run in running if self._is_dead(run) and _key(run) not in set(keep)]
        dead = [run for run in dead if self._is_only(run)]
        for run in dead:
            tags = {names.STATUS: "interrupted", names.REASON: _DIED}
            self._client.log_batch(run.info.run_id, tags=_tags(tags))
            self._client.set_terminated(run.info.run_id, "KILLED", _last_sign_ms(run))
        return len(dead)

    def log_folder(self, run_id: str, folder: Path, artifact_path: str) -> None:
        """Send a folder of files below `artifact_path`."""
        self._client.log_artifacts(run_id, str(folder), artifact_path)

    def log_page(self, run_id: str, page: str, name: str) -> None:
        """Send a page of text as an artifact."""
        self._client.log_text(run_id, page, name)

    def create_report(self, name: str) -> str:
        """Return the run of a report that belongs to no sweep, made if there is none."""
        return self._create_ended(names.REPORT_ROLE, name, {}, "finished")

    def create_certificate(self, name: str, params: Mapping[str, str], *, certified: bool) -> str:
        """Return the run of a certificate, made if there is none; FAILED if it is refused."""
        status: Status = "finished" if certified else "failed"
        return self._create_ended(names.CERTIFICATE_ROLE, name, params, status)

    def create_timings(self, name: str, params: Mapping[str, str], *, finished: bool) -> str:
        """Return the run of timings, made if there is none; KILLED if they were interrupted."""
        status: Status = "finished" if finished else "interrupted"
        run_id = self._create_ended(names.TIMINGS_ROLE, name, params, status)
        # Cells are kept as they come: what was sent before may have been only some of them.
        self._client.log_batch(run_id, tags=_tags({names.STATUS: status}))
        self._client.set_terminated(run_id, names.mlflow_status(status))
        return run_id

    def log_file(self, run_id: str, path: Path, artifact_path: str) -> None:
        """Send a file below `artifact_path`."""
        self._client.log_artifact(run_id, str(path), artifact_path)

    def _create_ended(
        self, role: str, name: str, params: Mapping[str, str], status: Status
    ) -> str:
        """Return the run that holds one thing which is already there, made if there is none."""
        key = f"{role}:{name}"
        run = self.find(key)
        if run is not None:
            return str(run.info.run_id)
        tags = {names.RUN_ID: key, names.ROLE: role, names.STATUS: status}
        run_id = self._create(f"{role} {name}", tags, params, None, _now_ms())
        self._client.set_terminated(run_id, names.mlflow_status(status))
        return run_id

    def _place(self, record: RunRecord, parent: str | None) -> tuple[str, frozenset[int], int]:
        """Return the run to complete, the epochs it has and its start in ms.

        A run that another attempt left behind is replaced.
        """
        config = names.params(record.config.to_json())
        run = self.find(record.run_id)
        if run is not None:
            sent = self._client.get_metric_history(run.info.run_id, names.EPOCH_MARK)
            # Training time to the last bit: no two attempts took the same.
            marks = {point.epoch: float(point.train_s) for point in record.history}
            same_epochs = all(marks.get(mark.step) == mark.value for mark in sent)
            # Sent again by an attempt that went on from a checkpoint, a curve would be doubled.
            same_epochs &= len({mark.step for mark in sent}) == len(sent)
            if same_epochs and run.data.params.items() <= config.items():
                self._client.log_batch(run.info.run_id, params=_params(config))
                self._forget_reason(run)
                steps = frozenset(mark.step for mark in sent)
                return run.info.run_id, steps, run.info.start_time
            self._discard(run)
        tags = names.begin_tags(
            record.run_id, record.role, record.sweep, record.trial, record.config
        )
        name = names.run_name(record.role, record.trial, record.config)
        start_ms = _start_ms(record)
        return self._create(name, tags, config, parent, start_ms), frozenset(), start_ms

    def _create(
        self,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, str],
        parent: str | None,
        start_ms: int,
    ) -> str:
        own = {names.STORE: self._store_id, names.OWNER: self._owner.name}
        nested = {names.PARENT: parent} if parent is not None else {}
        run = self._client.create_run(
            self.connection.experiment_id,
            start_time=start_ms,
            tags={**tags, **own, **nested},
            run_name=name,
        )
        self._client.log_batch(run.info.run_id, params=_params(params))
        return str(run.info.run_id)

    def _create_parent(
        self, key: str, name: str, manifest: Mapping[str, Any], group: str | None
    ) -> str:
        role = names.GROUP_ROLE if is_group(manifest) else names.SWEEP_ROLE
        tags = {
            names.RUN_ID: key,
            names.ROLE: role,
            names.SWEEP: name,
            names.STATUS: "running",
            "mlflow.source.type": "LOCAL",
            "mlflow.source.name": "bench sweep",
        }
        return self._create(f"{role} {name}", tags, sweep_params(manifest), group, _now_ms())

    def _show_views(self, name: str, manifest: Mapping[str, Any]) -> None:
        """Save in MLflow's page the views of this sweep's trials, and of all sweeps."""
        metric, whole = objective(manifest), group_of(manifest)
        tag, view = sweep_view(
            whole or name, metric, ascending=less_is_better(metric), group=whole is not None
        )
        for key, value in {tag: view, **sweeps_view()}.items():
            self._client.set_experiment_tag(self.connection.experiment_id, key, value)

    def _forget_reason(self, run: Run | None) -> None:
        """Remove why an earlier attempt at this run ended: the next end may have no reason."""
        if run is not None and names.REASON in run.data.tags:
            self._client.delete_tag(run.info.run_id, names.REASON)

    def _discard(self, run: Run) -> None:
        """Put a run into MLflow's trash, ended: nothing reads RUNNING there either."""
        if run.info.status == "RUNNING":
            self._client.set_terminated(run.info.run_id, "KILLED")
        self._client.delete_run(run.info.run_id)

    def _log_data(self, run_id: str, data: DataIdentity) -> None:
        """Log what was looked at.

        MLflow adds a data set that is new to the experiment without a lock: of two processes that
        do so at once one is refused, and finds it there the second time.
        """
        inputs = dataset_inputs(data)
        try:
            self._client.log_inputs(run_id, datasets=inputs)
        except MlflowException:
            self._client.log_inputs(run_id, datasets=inputs)

    def _log_epochs(
        self, run_id: str, points: Sequence[EpochPoint], start_ms: int, end_ms: int
    ) -> None:
        """Send whole epochs, as many as fit into a call; their times are spread evenly."""
        batch: list[Metric] = []
        for i, point in enumerate(points, start=1):
            at_ms = start_ms + (end_ms - start_ms) * i // len(points)
            metrics = _metrics(names.epoch_metrics(point), point.epoch, at_ms)
            if len(batch) + len(metrics) > _BATCH:
                self._client.log_batch(run_id, metrics=batch)
                batch = []
            batch += metrics
        if batch:
            self._client.log_batch(run_id, metrics=batch)

    def _log_files(self, run_id: str, record: RunRecord) -> dict[str, str]:
        """Send record, arrays and pictures; return a tag if the pictures could not be drawn."""
        folder = self._store.run_dir(record.run_id)
        for path in run_files(folder):
            self._client.log_artifact(run_id, str(path))
        if record.traceback:
            self._client.log_text(run_id, record.traceback, "traceback.txt")
        if self._illustrate is None:
            return {}
        try:
            pictures = self._illustrate(record, folder)
        # Whatever a picture's drawing raises, the run's numbers must arrive.
        except Exception as error:  # noqa: BLE001
            return {"bench.pictures": f"not drawn: {error}"[: names.TAG_LIMIT]}
        for path in pictures:
            self._client.log_artifact(run_id, str(path), "pictures")
        return {}

    def _is_only(self, run: Run) -> bool:
        """Remove doubles of a run; tell whether it is the one that is left."""
        kept = self.find(_key(run))
        return kept is not None and str(kept.info.run_id) == run.info.run_id

    def _is_dead(self, run: Run) -> bool:
        owner = run.data.tags.get(names.OWNER, "")
        if owner == self._owner.name:
            return bool(self._live.get(_key(run)) != run.info.run_id)
        return not is_alive(self._store.root, owner)


def _key(run: Run) -> str:
    return str(run.data.tags.get(names.RUN_ID, ""))


def _quoted(value: str) -> str:
    for quote in ("'", '"'):
        if quote not in value:
            return f"{quote}{value}{quote}"
    raise TrackingError(f"A name must not hold both kinds of quotes, got {value!r}.")


def _metrics(values: Mapping[str, float], step: int, at_ms: int) -> list[Metric]:
    return [Metric(name, value, at_ms, step) for name, value in values.items()]


def _params(values: Mapping[str, str]) -> list[Param]:
    return [Param(name, value) for name, value in values.items()]


def _tags(values: Mapping[str, str]) -> list[RunTag]:
    return [RunTag(name, value) for name, value in values.items()]


def _now_ms() -> int:
    return int(time.time() * 1000)


def _start_ms(record: RunRecord) -> int:
    try:
        return round(datetime.fromisoformat(record.started_at).timestamp() * 1000)
    except ValueError as error:
        raise TrackingError(
            f"`started_at` of {record.run_id} must be a date, got {record.started_at!r}."
        ) from error


def _last_sign_ms(run: Run) -> int:
    """Return when a dead run was last heard of, so that its duration is not a guess."""
    heard = [metric.timestamp for metric in run.data._metric_objs]  # noqa: SLF001
    return int(max([run.info.start_time, *heard]))
