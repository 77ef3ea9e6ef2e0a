"""A user's own page of a report, from a Jinja template."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError
from jinja2.sandbox import SandboxedEnvironment

from harness.errors import UsageError
from reports.folder import DOCUMENT_FILE, EVIDENCE, MANIFEST_FILE, REPORT_FILE

_ENDINGS = {".j2", ".jinja", ".jinja2"}


_TAKEN = {EVIDENCE, MANIFEST_FILE, REPORT_FILE, DOCUMENT_FILE}
"""Names that every report has."""


def check_template(template: Path) -> None:
    """Tell before a report is begun whether a template can be used.

    Raises:
        UsageError: it is missing, is no template, or its page would replace a part of the report.
    """
    name = page_name(template)
    if name in _TAKEN:
        raise UsageError(
            f"--template: {template} would make {name}, which the report has already. "
            "Give the template another name."
        )
    _parsed(template)


def page_name(template: Path) -> str:
    """Return the name of the page that a template makes: its own, without the ending.

    Raises:
        UsageError: it has no such ending.
    """
    if template.suffix not in _ENDINGS or not template.stem:
        raise UsageError(
            f"--template must name a Jinja template such as summary.md.j2, got {template}: "
            "without its last ending (.j2, .jinja or .jinja2) that is the name of the page."
        )
    return template.stem


def fill(template: Path, report: Mapping[str, Any], text: str) -> str:
    """Return the page that a template makes of a report.

    Args:
        template: file; it sees `report`, all that report.json holds, and `markdown`, the text.
        report: of `reports.document.document`.
        text: the report as Markdown.

    Raises:
        UsageError: the file cannot be read, is no template, or names what is not there.
    """
    try:
        return _parsed(template).render(report=report, markdown=text)
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise UsageError(
            f"--template: {template} does not fit the report: {error}. It sees `report`, which is "
            "what report.json holds, and `markdown`, the text."
        ) from error


def _parsed(template: Path) -> Template:
    try:
        source = template.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--template: {template} cannot be read: {error}.") from error
    # Whoever hands out a template must not get at more than the report.
    environment = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    try:
        return environment.from_string(source)
    except TemplateSyntaxError as error:
        raise UsageError(
            f"--template: {template} is no Jinja template, line {error.lineno}: {error.message}."
        ) from error
