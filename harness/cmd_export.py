"""`bench export`: a trained network for others to use, checked against its run."""

from __future__ import annotations

from pathlib import Path

from harness.cmd_find import Finder
from harness.console import note, quiet_stderr, waiting
from harness.errors import UsageError
from harness.options import places
from harness.record import RunRecord
from harness.store import Store
from harness.tracking_uri import resolve_uri

CARD = "model.json"
"""As `harness.exported.CARD_FILE`, which costs an import of TensorFlow."""


def export(
    name: str,
    *,
    to: Path | None,
    register: str | None,
    replace: bool,
    out: Path,
    tracking_uri: str | None,
    experiment: str,
) -> None:
    """Write the network of a run in Keras's and TensorFlow's formats.

    Args:
        name: a run, or a sweep for the best of it.
        to: folder to write; None for one in the output folder.
        register: name in MLflow's registry of models; None to leave it alone.
        replace: whether an older export in that folder may go.
        out: output folder.
        tracking_uri: of MLflow; None for the default.
        experiment: where to look for runs.

    Raises:
        UsageError: there is no such run, or the folder is taken.
        StoreError: files of the run are missing or damaged, or the folder cannot be written.
        ExportError: the network cannot be rebuilt, or predicts something else than its run did.
        TrackingError: the tracking store does not answer.
    """
    store = Store(out)
    record, folder = Finder(store, tracking_uri, experiment).trained(name)
    target = to or store.exports / record.run_id
    check_target(target, replace=replace or to is None)
    with waiting("loading TensorFlow ..."), quiet_stderr():
        from harness import exported
    with waiting("writing and checking the network ..."), quiet_stderr():
        checked = exported.export(record, folder, target)
    note(f"{_words(record)}")
    note(f"  {target / exported.KERAS_FILE}   for Keras")
    note(f"  {target / exported.SAVED_MODEL}   for TensorFlow alone, signature serving_default")
    note(f"  {target / exported.CARD_FILE}   classes, input, measures and where it came from")
    note(
        f"checked: read again, both give the classes of the run for its {checked.scenes} kept "
        f"scenes; no side of a box is off by more than {checked.largest_box_difference:.1g}"
    )
    if register:
        with waiting("registering with MLflow ..."), quiet_stderr():
            from harness.mlflow_registry import register as send

            uri = resolve_uri(tracking_uri, store.root)
            model = exported.deployable(record, folder)
            version = send(model, record, name=register, uri=uri, experiment=experiment)
        note(f"registered as {register} version {version}: models:/{register}/{version}")
    where = places(out, tracking_uri, experiment)
    note(
        f"next: `bench predict {target if to else record.run_id} IMAGE`{where and ' with' + where}"
    )


def check_target(target: Path, *, replace: bool) -> None:
    """Check that a folder may be written: new, empty, or an export that may go.

    Raises:
        UsageError: it holds something else, or an export that is to stay.
    """
    if target.exists() and not target.is_dir():
        raise UsageError(f"--to must be a folder, but {target} is a file.")
    if not target.is_dir() or not any(target.iterdir()):
        return
    if not (target / CARD).is_file():
        raise UsageError(
            f"{target} must be new, empty or an export, but holds other files. Choose another "
            "folder with --to."
        )
    if not replace:
        raise UsageError(f"{target} holds an export already. Give --replace, or another --to.")


def _words(record: RunRecord) -> str:
    score, accuracy = record.value("test_score"), record.value("test_accuracy")
    split = "test"
    if score is None or accuracy is None:
        split = "validation"
        score, accuracy = record.value("validation_score"), record.value("validation_accuracy")
    return (
        f"{record.run_id} ({record.config.backbone}; {split} score {score or 0:.3f}, "
        f"accuracy {accuracy or 0:.3f})"
    )
