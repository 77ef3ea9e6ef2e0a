"""Writes a report: report.md, its pictures and their tables, into a folder of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.certificate import Certificate
from harness.errors import StoreError
from harness.noise_floor import NoiseFloor
from harness.record import RunRecord
from harness.store import file_digest, write_atomically
from harness.timings import Timings
from reports.compare import Comparison, compare
from reports.evidence import load
from reports.goals import Goal
from reports.markdown import AnyPicture, Gallery, MissingPicture, Picture, render
from reports.pictures import Pictures, Titled, choose_pictures
from reports.style import Plot

REPORT_FILE = "report.md"
MANIFEST_FILE = ".bench-report.json"
"""Names what bench wrote into the folder, so that it never touches anything else there."""

_MANIFEST_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedReport:
    """A written report.

    Attributes:
        path: of report.md.
        files: everything written, report.md first.
        comparison: what it says, as plain values.
    """

    path: Path
    files: tuple[Path, ...]
    comparison: Comparison


def publish(
    runs: Iterable[tuple[RunRecord, Path]],
    folder: Path,
    *,
    title: str,
    goals: Mapping[str, Sequence[Goal]] | None = None,
    importances: Mapping[str, Mapping[str, float]] | None = None,
    commands: Mapping[str, str] | None = None,
    certificates: Sequence[Certificate] = (),
    timings: Sequence[Timings] = (),
    floors: Sequence[NoiseFloor] = (),
    made_at: str | None = None,
) -> PublishedReport:
    """Compare runs and write the report; an older report in the folder is replaced.

    The same runs and arguments give the same bytes.

    Args:
        runs: each record with its folder (predictions, example scenes).
        folder: made if missing; must be empty or hold an older report.
        title: heading of the report.
        goals: sweep name -> what it was after; the score for one that is not named.
        importances: sweep name -> field -> share of the first goal's variance that it explains.
        commands: sweep name -> the command line that repeats the sweep.
        certificates: of strategies; those of networks that no run trained are left out.
        timings: of contenders; those without a network that a run trained are left out.
        floors: noise floors, of any machines; without one no difference of speed is claimed.
        made_at: date to write into the report; without it none is written.

    Raises:
        UsageError: there are no runs, or one came twice.
        StoreError: the folder holds somebody else's files, or cannot be written.
    """
    old = _own_files(folder)
    evidence = [load(record, run_folder) for record, run_folder in runs]
    comparison = compare(evidence, goals)
    contents: dict[str, bytes] = {}
    gallery = _drawn(choose_pictures(comparison, evidence, importances or {}), contents)
    trained = {each.record.config.backbone for each in evidence}
    words = render(
        comparison, title=title, gallery=gallery, commands=commands, made_at=made_at,
        floors=floors,
        certificates=[each for each in certificates if each.config.backbone in trained],
        timings=[
            each for each in timings
            if trained & {contender.config.backbone for contender in each.contenders}
        ],
    )  # fmt: skip
    contents = {REPORT_FILE: words.encode()} | contents
    _replace(folder, old, contents)
    files = tuple(folder / name for name in contents)
    return PublishedReport(path=folder / REPORT_FILE, files=files, comparison=comparison)


def _drawn(pictures: Pictures, contents: dict[str, bytes]) -> Gallery:
    """Draw every plot into `contents` (file name -> bytes) and return what the text refers to."""

    def drawn(part: Iterable[Titled]) -> tuple[AnyPicture, ...]:
        return tuple(_draw(item, contents) for item in part)

    return Gallery(
        tables=tuple(drawn(part) for part in pictures.tables),
        untested=drawn(pictures.untested),
        searches=tuple(drawn(part) for part in pictures.searches),
        networks=drawn(pictures.networks),
    )


def _draw(item: Titled, contents: dict[str, bytes]) -> AnyPicture:
    plot = item.plot
    if not isinstance(plot, Plot):
        return MissingPicture(title=item.title, reason=plot.reason)
    png, csv = f"{plot.name}.png", f"{plot.name}.csv"
    contents[png], contents[csv] = plot.png(), plot.csv()
    return Picture(title=item.title, file=png, csv=csv, alt=plot.alt, caption=plot.caption)


def _own_files(folder: Path) -> dict[str, list[str]]:
    """Return what an earlier report left in the folder: file name -> digests it may have.

    Raises:
        StoreError: the folder is not one, or holds files that bench did not write, or files
            that were changed since.
    """
    if not folder.exists():
        return {}
    if not folder.is_dir():
        raise StoreError(f"A report needs a folder, but {folder} is a file. Choose another.")
    manifest = folder / MANIFEST_FILE
    if not manifest.is_file():
        other = sorted(path.name for path in folder.iterdir())
        if other:
            raise StoreError(
                f"A report needs an empty folder or that of an older report, but {folder} holds "
                f"{other[0]}, which bench did not write. Choose another folder."
            )
        return {}
    files = _read_manifest(manifest)
    for name, digests in files.items():
        path = folder / name
        if path.exists() and (not path.is_file() or file_digest(path) not in digests):
            raise StoreError(
                f"{path} was changed since bench wrote it, and a new report would overwrite it. "
                "Move it away or choose another folder."
            )
    return files


def _read_manifest(path: Path) -> dict[str, list[str]]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        files = {str(name): [str(d) for d in digests] for name, digests in values["files"].items()}
        version = values["version"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{path} must list the files of the report beside it, but it is damaged ({error}). "
            "Choose another folder."
        ) from error
    # A name that leads out of the folder would have bench delete what is not its own.
    if version != _MANIFEST_VERSION or any(Path(name).name != name for name in files):
        raise StoreError(
            f"{path} was not written by this release of bench. Choose another folder."
        )
    return files


def _replace(folder: Path, old: Mapping[str, list[str]], contents: Mapping[str, bytes]) -> None:
    """Write the new files and remove those of the old report that have no successor.

    The manifest is written twice: first with both states of each file, so that a crash in between
    leaves a folder that the next report still recognises as its own.
    """
    new = {name: [hashlib.sha256(content).hexdigest()] for name, content in contents.items()}
    for name in contents:
        if name not in old and (folder / name).exists():
            raise StoreError(
                f"{folder / name} was not written by bench, and the report needs that name. "
                "Move it away or choose another folder."
            )
    both = {name: [*old.get(name, []), *new.get(name, [])] for name in {**old, **new}}
    _write_manifest(folder, both)
    for name, content in contents.items():
        write_atomically(folder / name, content)
    for name in sorted(set(old) - set(new)):
        (folder / name).unlink(missing_ok=True)
    _write_manifest(folder, new)


def _write_manifest(folder: Path, files: Mapping[str, list[str]]) -> None:
    values = {"version": _MANIFEST_VERSION, "files": files}
    text = json.dumps(values, sort_keys=True, indent=1) + "\n"
    write_atomically(folder / MANIFEST_FILE, text.encode())
