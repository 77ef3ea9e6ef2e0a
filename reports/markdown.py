"""The report as Markdown: `Comparison` in, text out.

Pure and byte-stable: no clock, no locale, no disk. GitHub is where it is read, so it keeps to
what GitHub renders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.certificate import Certificate
from harness.noise_floor import NoiseFloor
from harness.timings import Timings
from reports.appendix import appendix_lines
from reports.certificates import certificate_lines
from reports.compare import Comparison
from reports.leaderboard_section import leaderboard_lines
from reports.links import RunLinks
from reports.search_section import search_lines
from reports.speed_section import speed_lines
from reports.summary import summary_lines
from reports.wording import text


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture beside the report, and the CSV file of the numbers in it."""

    title: str
    file: str
    csv: str
    alt: str
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingPicture:
    """A picture that could not be drawn, and why."""

    title: str
    reason: str


AnyPicture = Picture | MissingPicture


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """The pictures of a report, by the part that they stand in.

    Attributes:
        tables: for each table of the comparison, in order.
        untested: of runs without a test result, shown if there is no table at all.
        together: of all sweeps.
        searches: for each sweep of the comparison, in order.
        networks: layer diagrams.
    """

    tables: tuple[tuple[AnyPicture, ...], ...] = ()
    untested: tuple[AnyPicture, ...] = ()
    together: tuple[AnyPicture, ...] = ()
    searches: tuple[tuple[AnyPicture, ...], ...] = ()
    networks: tuple[AnyPicture, ...] = ()


def render(
    comparison: Comparison,
    *,
    title: str,
    gallery: Gallery,
    commands: Mapping[str, str] | None = None,
    certificates: Sequence[Certificate] = (),
    timings: Sequence[Timings] = (),
    floors: Sequence[NoiseFloor] = (),
    links: RunLinks | None = None,
    numbers: str | None = None,
    made_at: str | None = None,
) -> str:
    """Return the report as Markdown text.

    Args:
        comparison: what to say.
        title: heading of the report.
        gallery: pictures, at paths relative to the report.
        commands: sweep name -> the command line that repeats the sweep.
        certificates: of strategies, for the networks in the comparison.
        timings: of such networks.
        floors: noise floors, of any machines; without one no difference of speed is claimed.
        links: where more of a run is to be seen.
        numbers: file beside it that holds all numbers; None if there is none.
        made_at: date for the last line; without it the text depends on the runs alone.
    """
    lines = [f"# {text(title)}", "", *summary_lines(comparison)]
    for place, board in enumerate(comparison.tables):
        lines += leaderboard_lines(board, place, comparison, floors)
        lines += _pictures(_at(gallery.tables, place))
    if not comparison.tables:
        lines += ["## Training", "", *_pictures(gallery.untested)]
    if gallery.together:
        lines += ["## Searches", "", *_pictures(gallery.together)]
    for place, search in enumerate(comparison.searches):
        lines += search_lines(search, (commands or {}).get(search.name))
        lines += _pictures(_at(gallery.searches, place))
    if gallery.networks:
        lines += ["## Networks", "", *_pictures(gallery.networks)]
    lines += speed_lines(timings, floors)
    lines += certificate_lines(certificates, floors)
    lines += appendix_lines(comparison, links or {})
    if numbers is not None:
        lines += [f"All numbers at full precision: [{numbers}]({numbers}).", ""]
    if made_at is not None:
        lines += [f"Made at {text(made_at)}.", ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _at(parts: Sequence[tuple[AnyPicture, ...]], place: int) -> tuple[AnyPicture, ...]:
    return parts[place] if place < len(parts) else ()


def _pictures(pictures: Sequence[AnyPicture]) -> list[str]:
    lines = []
    for picture in pictures:
        if isinstance(picture, Picture):
            lines += [f"### {text(picture.title)}", ""]
            lines += [f"![{text(picture.alt)}]({picture.file})", ""]
            lines += [f"{picture.caption} Numbers: [{picture.csv}]({picture.csv}).", ""]
    missing = [p for p in pictures if isinstance(p, MissingPicture)]
    if missing:
        lines += ["Not drawn:", ""]
        lines += [*(f"- {text(p.title)}: {text(p.reason)}." for p in missing), ""]
    return lines
