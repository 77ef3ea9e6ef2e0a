"""Writes a report: its text, JSON, pictures and their tables, into a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.certificate import Certificate
from harness.errors import UsageError
from harness.goal import Goal
from harness.noise_floor import NoiseFloor
from harness.predictions import predictions_file
from harness.record import RunRecord
from harness.store import RECORD_FILE
from harness.timings import Timings
from reports.compare import Comparison, compare
from reports.document import document, dumps
from reports.drawing import Spread, one_by_one
from reports.evidence import Evidence, load
from reports.folder import DOCUMENT_FILE, EVIDENCE, REPORT_FILE, own_files, replace_files
from reports.html import HTML_FILE, to_body, to_html
from reports.links import RunLinks
from reports.markdown import AnyPicture, Gallery, MissingPicture, Picture, render
from reports.pictures import Importances, Pictures, Titled, choose_pictures, none_known
from reports.style import Plot
from reports.template import fill, page_name

PDF_FILE = "report.pdf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """In what other forms a report is written, beside Markdown and JSON.

    Attributes:
        html: as one page that stands alone.
        to_pdf: from that page to a PDF; None for no PDF.
        template: a user's own, see `reports.template`.
    """

    html: bool = False
    to_pdf: Callable[[str], bytes] | None = None
    template: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedReport:
    """A written report.

    Attributes:
        path: of report.md.
        files: everything written, report.md first.
        pages: those that are to be read: report.md, then its further forms.
        page: all of it as HTML that stands alone, whether or not it was written.
        comparison: what it says, as plain values.
    """

    path: Path
    files: tuple[Path, ...]
    pages: tuple[Path, ...]
    page: str
    comparison: Comparison


def publish(
    runs: Iterable[tuple[RunRecord, Path]],
    folder: Path,
    *,
    title: str,
    goals: Mapping[str, Sequence[Goal]] | None = None,
    importances: Importances = none_known,
    commands: Mapping[str, str] | None = None,
    certificates: Sequence[Certificate] = (),
    timings: Sequence[Timings] = (),
    floors: Sequence[NoiseFloor] = (),
    pages: Pages = Pages(),
    spread: Spread = one_by_one,
    most_drawn: int | None = None,
    addresses: Mapping[str, str] | None = None,
    made_at: str | None = None,
) -> PublishedReport:
    """Compare runs and write the report; an older report in the folder is replaced.

    The same runs and arguments give the same bytes.

    Args:
        runs: each record with its folder (predictions, example scenes).
        folder: made if missing; must be empty or hold an older report.
        title: heading of the report.
        goals: sweep name -> what it was after; the score for one that is not named.
        importances: what the searched fields explain of the first goal, see `reports.pictures`.
        commands: sweep name -> the command line that repeats the sweep.
        certificates: of strategies; those of networks that no run trained are left out.
        timings: of contenders; those without a network that a run trained are left out.
        floors: noise floors, of any machines; without one no difference of speed is claimed.
        pages: further forms of it.
        spread: calls what draws each picture.
        most_drawn: of how many sweeps; None for all.
        addresses: run id -> its page in MLflow, of those that have one.
        made_at: date to write into the report; without it none is written.

    Raises:
        UsageError: there are no runs, one came twice, or the template does not fit.
        StoreError: the folder holds somebody else's files, or cannot be written.
    """
    old = own_files(folder)
    evidence = [load(record, run_folder) for record, run_folder in runs]
    comparison = compare(evidence, goals)
    chosen = choose_pictures(comparison, evidence, importances, most=most_drawn)
    plots = [item.plot for item in chosen.all() if isinstance(item.plot, Plot)]
    drawings = spread(Plot.png, plots)  # while this process writes the text
    trained = {each.record.config.backbone for each in evidence}
    certificates = [each for each in certificates if each.config.backbone in trained]
    timings = [
        each for each in timings
        if trained & {contender.config.backbone for contender in each.contenders}
    ]  # fmt: skip
    kept = _evidence(comparison, evidence)
    links = _links(kept, evidence, addresses or {})
    words = render(
        comparison, title=title, gallery=_gallery(chosen), commands=commands, made_at=made_at,
        links=links, numbers=DOCUMENT_FILE, floors=floors, certificates=certificates,
        timings=timings,
    )  # fmt: skip
    values = document(
        comparison,
        title=title,
        certificates=certificates,
        timings=timings,
        floors=floors,
        links=links,
    )
    contents = {REPORT_FILE: words.encode(), DOCUMENT_FILE: dumps(values).encode()}
    body = to_body(words)
    for plot, drawing in zip(plots, drawings, strict=True):
        contents |= {_png_file(plot): drawing, _csv_file(plot): plot.csv()}
    page = to_html(body, title=title, files=contents)
    further = _pages(pages, page, words, values, contents)
    contents |= further | kept
    replace_files(folder, old, contents)
    files = tuple(folder / name for name in contents)
    return PublishedReport(
        path=folder / REPORT_FILE, files=files, page=page, comparison=comparison,
        pages=tuple(folder / name for name in (REPORT_FILE, *further)),
    )  # fmt: skip


def _gallery(pictures: Pictures) -> Gallery:
    """Return what the text says of the pictures."""

    def shown(part: Iterable[Titled]) -> tuple[AnyPicture, ...]:
        return tuple(map(_picture, part))

    return Gallery(
        tables=tuple(shown(part) for part in pictures.tables),
        untested=shown(pictures.untested),
        together=shown(pictures.together),
        searches=tuple(shown(part) for part in pictures.searches),
        networks=shown(pictures.networks),
    )


def _picture(item: Titled) -> AnyPicture:
    plot = item.plot
    if not isinstance(plot, Plot):
        return MissingPicture(title=item.title, reason=plot.reason)
    return Picture(
        title=item.title, file=_png_file(plot), csv=_csv_file(plot), alt=plot.alt,
        caption=plot.caption,
    )  # fmt: skip


def _png_file(plot: Plot) -> str:
    return f"{plot.name}.png"


def _csv_file(plot: Plot) -> str:
    return f"{plot.name}.csv"


def _pages(
    pages: Pages, page: str, words: str, values: Mapping[str, Any], contents: Mapping[str, bytes]
) -> dict[str, bytes]:
    """Return the further forms of a report: file name -> bytes."""
    found: dict[str, bytes] = {}
    if pages.html:
        found[HTML_FILE] = page.encode()
    if pages.to_pdf is not None:
        found[PDF_FILE] = pages.to_pdf(page)
    if pages.template is not None:
        name = page_name(pages.template)
        if name in contents or name in found:
            raise UsageError(
                f"--template: {pages.template} would make {name}, which the report has already. "
                "Give the template another name."
            )
        found[name] = fill(pages.template, values, words).encode()
    return found


def _links(
    kept: Iterable[str], evidence: Sequence[Evidence], addresses: Mapping[str, str]
) -> RunLinks:
    """Return where more of each run is to be seen: in MLflow, in the evidence, or nowhere."""
    beside = {name.rpartition("/")[0] for name in kept}
    found = {}
    for run_id in (item.record.run_id for item in evidence):
        links = [("MLflow", addresses[run_id])] if run_id in addresses else []
        folder = f"{EVIDENCE}/{run_id}"
        links += [("evidence", f"{folder}/")] if folder in beside else []
        if links:
            found[run_id] = links
    return found


def _evidence(comparison: Comparison, evidence: Sequence[Evidence]) -> dict[str, bytes]:
    """Return what `reports.verify` needs of the ranked runs: file name -> bytes."""
    ranked = {i for board in comparison.tables for row in board.contenders for i in row.run_ids}
    return {
        f"{EVIDENCE}/{item.record.run_id}/{name}": (item.folder / name).read_bytes()
        for item in evidence
        if item.record.run_id in ranked and item.outcomes is not None
        for name in (RECORD_FILE, predictions_file("test"))
    }
