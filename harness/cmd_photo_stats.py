"""`bench data stats` of photos: classes, splits, boxes, copies and faults."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import isfinite

from rich.table import Table
from rich.text import Text

from harness.annotated_sources import read_annotations
from harness.box_stats import BoxStats, Histogram, box_stats
from harness.console import console, note, waiting
from harness.image_selection import named
from harness.image_survey import survey
from harness.problems import MOST_SHOWN


def photo_stats(dataset: str, *, as_json: bool) -> None:
    """Count what a set of photos holds and print it; what is bad is listed, and no error.

    Bytes and headers are read, also of test photos, but no pixel is decoded.

    Args:
        dataset: such as "voc:photos".
        as_json: print one JSON object instead of tables.

    Raises:
        UsageError: unknown format, or no place.
        DataError: there is nothing of that format.
    """
    with waiting("reading annotations and photos ..."):
        found = box_stats(survey(read_annotations(dataset)))
    if as_json:
        console.file.write(json.dumps(found.as_json(), indent=1) + "\n")
        return
    console.print(_classes(found))
    console.print(_boxes(found))
    for line in _findings(found):
        note(line)
    faults = (*found.annotation_faults, *found.unreadable, *found.box_faults)
    for fault in faults[:MOST_SHOWN]:
        note(f"  {fault}")
    if len(faults) > MOST_SHOWN:
        note(f"  and {len(faults) - MOST_SHOWN:,} more; --json lists all")


def _classes(found: BoxStats) -> Table:
    table = Table(title=f"Photos of {found.source}", title_justify="left", box=None)
    table.add_column("class of the main object")
    for name in ("photos", "objects of it"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, photos in found.photos_by_class.items():
        share = photos / max(1, found.photos)
        table.add_row(
            Text(name), f"{photos:,} ({share:6.1%})", f"{found.objects_by_class[name]:,}"
        )
    table.add_row("all", f"{found.photos:,} (100.0%)", f"{found.objects:,}", style="bold")
    return table


def _boxes(found: BoxStats) -> Table:
    """Return how sizes and places of main objects are spread over their photos."""
    title = "Boxes of the main objects, per cent of photos in each tenth"
    table = Table(title=title, title_justify="left", box=None)
    columns = {
        "area / photo": found.area, "centre x": found.centre_x, "centre y": found.centre_y,
    }  # fmt: skip
    table.add_column("from")
    for name in columns:
        table.add_column(name, justify="right")
    for k, low in enumerate(found.area.edges[:-1]):
        table.add_row(f"{low:.1f}", *(f"{_per_cent(of, k):.1f}" for of in columns.values()))
    return table


def _per_cent(histogram: Histogram, k: int) -> float:
    return 100 * histogram.counts[k] / max(1, sum(histogram.counts))


def _aspects(histogram: Histogram) -> str:
    """Return the spread of width over height in words, bins without a box left out."""
    ends = pairwise(histogram.edges)
    bins = [f"{low:g} to {high:g}" if isfinite(high) else f"from {low:g}" for low, high in ends]
    return ", ".join(
        f"{bins[k]} ({_per_cent(histogram, k):.0f} %)"
        for k, count in enumerate(histogram.counts)
        if count
    )


def _findings(found: BoxStats) -> Iterator[str]:
    given = {split: n for split, n in found.photos_by_split.items() if split != "none"}
    if given:
        yield f"splits given: {', '.join(f'{split} {n:,}' for split, n in given.items())}"
    if found.side_px is not None:
        low, median, high = found.side_px
        yield f"sides of photos: {low:,} to {high:,} px, median {median:,.0f}"
    if any(found.aspect.counts):
        yield f"width / height of these boxes: {_aspects(found.aspect)}"
    counts = (
        (found.without_object, "without an object"),
        (found.unlisted, "in no list of a split"),
    )
    for n, what in counts:
        if n:
            yield f"photos {what}: {n:,}"
    if found.classes_without_photo:
        yield f"classes of no main object: {named(found.classes_without_photo)}"
    if found.clipped:
        yield f"boxes cut by up to a pixel: {found.clipped:,}"
    yield f"copies: {_groups(found.copies)}"
    kinds = (("annotations", found.annotation_faults), ("unreadable", found.unreadable),
             ("boxes", found.box_faults))  # fmt: skip
    said = ", ".join(f"{name} {len(faults):,}" for name, faults in kinds if faults)
    yield f"problems: {said or 'none'}"


def _groups(copies: Sequence[Sequence[str]]) -> str:
    if not copies:
        return "none"
    more = sum(len(group) - 1 for group in copies)
    return f"{more:,} of {len(copies):,} photos, such as {' = '.join(copies[0][:3])}"
