"""`bench export`, `predict` and `baseline`: what they accept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.options import out_option, place_options, place_values


@click.command()
@click.argument("name", metavar="RUN")
@click.option(
    "--to", type=click.Path(path_type=Path), metavar="DIR",
    help="Folder to write.  [default: exports/RUN_ID in --out]",
)  # fmt: skip
@click.option("--replace", is_flag=True, help="Replace an older export in --to.")
@click.option("--register", metavar="NAME", help="Register it in MLflow, as one version more.")
@place_options
def export(name: str, **values: Any) -> None:
    """Write a trained network as .keras and SavedModel, for others to use.

    RUN is a run or a sweep: of a sweep's finals the best in validation. Images go in as they are,
    uint8; class names, probabilities and boxes come out. Both files are read again and must
    predict what the run did, else nothing is written.
    """
    from harness import cmd_export

    cmd_export.export(
        name, to=values["to"], register=values["register"], replace=values["replace"],
        **place_values(values),
    )  # fmt: skip


@click.command()
@click.argument("name", metavar="RUN")
@click.argument(
    "pictures", nargs=-1, required=True, metavar="PICTURE...", type=click.Path(path_type=Path)
)
@click.option(
    "--to", type=click.Path(path_type=Path), metavar="DIR",
    help="Folder for the drawn pictures.  [default: predicted/RUN_ID in --out]",
)  # fmt: skip
@click.option(
    "--invert", type=click.Choice(["auto", "on", "off"]), default="auto", show_default=True,
    help="Swap light and dark; auto does so for digits on bright ground.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
@place_options
def predict(name: str, pictures: tuple[Path, ...], **values: Any) -> None:
    """Say and draw what a trained network finds in pictures of your own.

    RUN is a run, a sweep (of its finals the best in validation), or the folder of a `bench
    export`. Each PICTURE is a file or a folder of them. It is scaled to fit the canvas of the
    network; what it shows should look like the scenes of training (`bench data preview`).
    """
    from harness import cmd_predict

    cmd_predict.predict(
        name, pictures, to=values["to"], invert=values["invert"], as_json=values["as_json"],
        **place_values(values),
    )  # fmt: skip


@click.group()
def baseline() -> None:
    """Set runs aside, to compare later ones with them."""


@baseline.command(name="save")
@click.argument("name")
@click.argument("what", metavar="RUN")
@click.option("--replace", is_flag=True, help="Replace an older baseline of that name.")
@place_options
def save_baseline(name: str, what: str, **values: Any) -> None:
    """Set runs aside as NAME, to compare later ones with.

    RUN is a run, runs of one configuration separated by commas, or a sweep. Records and test
    predictions are copied into a folder that stands alone: keep it in a repository, and give its
    path to `bench compare` instead of its name.
    """
    from harness import cmd_compare

    cmd_compare.save(name, what, replace=values["replace"], **place_values(values))


@baseline.command(name="list")
@out_option
def list_baselines(out: Path) -> None:
    """List the baselines in the output folder."""
    from harness import cmd_compare

    cmd_compare.show(out=out)
