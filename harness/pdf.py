"""Turns a page of HTML into a PDF, by a browser that is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from harness.errors import StoreError, UsageError

BROWSERS = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome",
    "microsoft-edge",
)  # fmt: skip

_PATIENCE_S = 120


def find_converter() -> str:
    """Return the path of a browser that prints to PDF.

    Raises:
        UsageError: there is none.
    """
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise UsageError(
            f"--pdf needs one of {', '.join(BROWSERS)} in PATH, but none is there. Take --html "
            "and print it from any browser."
        )
    return found


def to_pdf(page: str, converter: str) -> bytes:
    """Return a page as PDF.

    Args:
        page: HTML that needs no other file.
        converter: of `find_converter`.

    Raises:
        StoreError: the browser fails.
    """
    with tempfile.TemporaryDirectory(prefix="bench-pdf-") as folder:
        source, target = Path(folder) / "report.html", Path(folder) / "report.pdf"
        source.write_text(page, encoding="utf-8")
        command = [
            converter, "--headless", "--disable-gpu", "--no-sandbox", "--no-pdf-header-footer",
            f"--user-data-dir={folder}/profile", f"--print-to-pdf={target}", source.as_uri(),
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StoreError(f"{converter} did not print the report: {error}.") from error
        if done.returncode or not target.is_file():
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise StoreError(f"{converter} did not print the report: {last}")
        return target.read_bytes()
