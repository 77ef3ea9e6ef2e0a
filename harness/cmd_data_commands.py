"""`bench data` and its commands: what they accept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.config import knobs
from harness.datasets import FETCHED, has_photos
from harness.errors import UsageError, unknown_name
from harness.options import Sectioned, config_options, data_dir_option, out_option, read_config

PREVIEWED = {
    name for name, knob in knobs().items() if knob.group in {"Data", "Augmentation"}
} - {"train_examples", "evaluate_test"}  # fmt: skip
"""Fields of a configuration that decide what scenes look like."""


@click.group()
def data() -> None:
    """Look at the data, count, download or export it."""


@data.command(cls=Sectioned)
@config_options(without=set(knobs()) - PREVIEWED)
@click.option(
    "--split",
    type=click.Choice(["train", "validation"]),
    default="train",
    show_default=True,
    help="Which scenes to draw; the test split stays sealed.",
)
@click.option(
    "--epoch",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Training scenes move each epoch: which one to show.",
)
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Picture to write (PNG).  [default: preview-DATASET-SPLIT.png in --out]",
)
@out_option
@data_dir_option
def preview(**values: Any) -> None:
    """Draw scenes with their true boxes into a picture."""
    config = read_config(values)
    if values["epoch"] < 1:
        raise UsageError(f"--epoch must be at least 1, got {values['epoch']}.")
    from harness import cmd_data

    places = {name: values[name] for name in ("split", "epoch", "to", "out", "data_dir")}
    cmd_data.preview(config, **places)


@data.command()
@click.argument("name", metavar=f"[{'|'.join(FETCHED)}]")
@click.option(
    "--to", type=click.Path(path_type=Path), metavar="DIR",
    help="Folder below which the set gets one of its own.  [default: bench's cache]",
)  # fmt: skip
def fetch(name: str, to: Path | None) -> None:
    """Download a data set and say where it lies.

    Size and checksum of each file are checked; what already lies there is not fetched again.
    """
    if name not in FETCHED:
        raise unknown_name("data set to fetch", name, FETCHED)
    from harness import cmd_data

    cmd_data.fetch(name, to=to)


@data.command()
@config_options(without=set(knobs()) - {"dataset", "data_seed", "train_examples"})
@click.option(
    "--split", "splits", multiple=True, type=click.Choice(["train", "validation", "test"]),
    default=("train", "validation"), show_default=True,
    help="What to count; may be repeated. Only test breaks the seal of the test split.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
@data_dir_option
def stats(**values: Any) -> None:
    """Count classes, copies, sizes and faults of a data set.

    How sides and centres of the training boxes are spread is shown too.
    What is bad in a data set of your own is listed, and left out of the counts. The test split
    stays sealed unless it is named: then its classes and copies are counted, and nothing shown.
    Of photos all are counted together, and no pixel is decoded.
    """
    config = read_config({**values, "skip_bad": True})
    if has_photos(config.dataset):
        from harness import cmd_photo_stats

        cmd_photo_stats.photo_stats(config.dataset, as_json=values["as_json"])
        return
    from harness import cmd_data
    from harness.data_stats import SPLITS

    splits = [split for split in SPLITS if split in values["splits"]]
    cmd_data.stats(config, splits=splits, as_json=values["as_json"], data_dir=values["data_dir"])


@data.command(name="export", cls=Sectioned)
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@config_options(without=set(knobs()) - PREVIEWED - {"train_examples"})
@click.option(
    "--split", "splits", multiple=True, type=click.Choice(["train", "validation", "test"]),
    default=("train", "validation"), show_default=True,
    help="What to write; may be repeated. Only test breaks the seal of the test split.",
)  # fmt: skip
@click.option(
    "--epoch", type=int, default=1, show_default=True, metavar="N",
    help="Training scenes move each epoch: which one to write.",
)  # fmt: skip
@click.option(
    "--most", type=int, metavar="N", help="Scenes of each split, the first by id.  [default: all]"
)
@data_dir_option
def export_data(folder: Path, **values: Any) -> None:
    """Write scenes as PNG files and COCO annotations.

    For other tools: DIR/SPLIT/images/ and DIR/SPLIT/instances.json hold the very scenes of a run
    with these options, their exact boxes and, as attributes, the factors that made them.
    """
    config = read_config(values)
    for name, least in (("epoch", 1), ("most", 1)):
        if values[name] is not None and values[name] < least:
            raise UsageError(f"--{name} must be at least {least}, got {values[name]}.")
    from harness import cmd_data_export

    cmd_data_export.export(
        config, folder, splits=list(dict.fromkeys(values["splits"])), epoch=values["epoch"],
        most=values["most"], data_dir=values["data_dir"],
    )  # fmt: skip
