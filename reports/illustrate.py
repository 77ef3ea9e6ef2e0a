"""The pictures of one run, for its folder and its page in the tracking store.

Called once for each trial, so it draws small and imports no seaborn.
"""

from __future__ import annotations

from pathlib import Path

from harness.errors import StoreError
from harness.predictions import EXAMPLES_FILE, Examples
from harness.record import RunRecord
from harness.store import write_atomically
from reports.diagram import layers_plot
from reports.run_figures import curves_plot
from reports.scene_figures import boxes_plot
from reports.style import Omitted, Plot

_DPI = 90  # a page of MLflow shows artifacts small


def illustrate(record: RunRecord, folder: Path) -> list[Path]:
    """Draw curves.png, boxes.png and layers.png of a run into its folder.

    A picture whose data is absent is left out; `omissions` says why.

    Args:
        record: of the run.
        folder: of the run: holds `examples.npz`, receives the pictures.

    Returns:
        The files written.

    Raises:
        StoreError: the folder cannot be written.
    """
    paths = []
    for plot in _plots(record, folder):
        if isinstance(plot, Plot):
            path = folder / f"{plot.name}.png"
            write_atomically(path, plot.png(dpi=_DPI))
            paths.append(path)
    return paths


def omissions(record: RunRecord, folder: Path) -> dict[str, str]:
    """Return the pictures that `illustrate` leaves out: name -> reason."""
    return {p.name: p.reason for p in _plots(record, folder) if isinstance(p, Omitted)}


def _plots(record: RunRecord, folder: Path) -> list[Plot | Omitted]:
    backbone = record.config.backbone
    return [
        curves_plot([(backbone, record)], name="curves"),
        _boxes(record, folder),
        layers_plot(record.model, backbone=backbone, name="layers"),
    ]


def _boxes(record: RunRecord, folder: Path) -> Plot | Omitted:
    examples = read_examples(folder)
    if isinstance(examples, str):
        return Omitted(name="boxes", reason=f"run {record.run_id}: {examples}")
    names = () if record.data is None else record.data.class_names
    return boxes_plot(examples, name="boxes", what=f"run {record.run_id}", class_names=names)


def read_examples(folder: Path) -> Examples | str:
    """Return the scenes that a run kept, or the reason why there are none."""
    path = folder / EXAMPLES_FILE
    if not path.is_file():
        return "it kept no example scenes"
    try:
        examples = Examples.load(path)
    except StoreError:
        return "its example scenes cannot be read"
    return examples if len(examples.ids) else "it kept no example scenes"
