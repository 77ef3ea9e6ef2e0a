"""From `voc:FOLDER`, `coco:FILE` or `csv:FILE` to annotations."""

from __future__ import annotations

from pathlib import Path

from harness.annotations import Annotations
from harness.box_csv import read_csv
from harness.coco import read_coco
from harness.errors import UsageError, unknown_name
from harness.voc import read_voc

READERS = {"voc": read_voc, "coco": read_coco, "csv": read_csv}


def read_annotations(source: str) -> Annotations:
    """Return the annotations of a data set; no image is opened.

    Args:
        source: a format and a place, such as "voc:photos/VOC2007".

    Raises:
        UsageError: unknown format, or no place.
        DataError: there is nothing of that format, see the readers.
    """
    kind, _, place = source.partition(":")
    if kind not in READERS:
        raise unknown_name("format of photos", kind, READERS)
    if not place:
        raise UsageError(f"`{kind}:` must be followed by a path, such as {kind}:PATH. Add it.")
    return READERS[kind](Path(place).expanduser().absolute())
