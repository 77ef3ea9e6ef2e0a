"""`bench verify`: whether a report still says what its evidence says."""

from __future__ import annotations

from pathlib import Path

from harness.console import note, say
from harness.errors import ReportBroken, UsageError
from reports.folder import MANIFEST_FILE
from reports.verify import verify as verify_report


def verify(folder: Path) -> None:
    """Check a report and say what no longer holds.

    Raises:
        UsageError: there is no report.
        ReportBroken: something no longer holds.
    """
    if not (folder / MANIFEST_FILE).is_file():
        raise UsageError(
            f"{folder} must be the folder of a report, but has no {MANIFEST_FILE}. `bench report` "
            "writes one; copy it with its hidden files."
        )
    found = verify_report(folder)
    for what in found.broken:
        say(what)
    for what in found.unchecked:
        note(f"not checked: {what}")
    note(
        f"{found.files} files are as they were written; {found.numbers} numbers were computed "
        f"again from {found.images:,} predictions and agree"
    )
    if found.broken:
        count = len(found.broken)
        raise ReportBroken(
            f"{folder} is not what bench wrote: {count} "
            f"{'thing no longer holds' if count == 1 else 'things no longer hold'}."
        )
