"""The report as one HTML file that stands alone: with pictures and tables, without scripts."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping

from markdown_it import MarkdownIt

HTML_FILE = "report.html"

_TYPES = {"png": "image/png", "csv": "text/csv", "json": "application/json"}

_LINK = re.compile(r'(src|href)="([^":/]+\.(png|csv|json))"')

_BESIDE = re.compile(r'<a href="((?!data:|https?:|#)[^"]*)">.*?</a>')
"""A link to what lies beside the report: dead as soon as the page is elsewhere."""

_STYLE = """
body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #1f2328; background: #fff;
       max-width: 980px; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { border-bottom: 1px solid #d1d9e0; padding-bottom: .3em; }
table { border-collapse: collapse; display: block; overflow-x: auto; margin: 1em 0; }
th, td { border: 1px solid #d1d9e0; padding: .3em .7em; }
tr:nth-child(even) { background: #f6f8fa; }
td:nth-child(2) { min-width: 8em; }
code { background: #eff1f3; border-radius: 4px; padding: .1em .3em; font-size: 90%; }
pre { background: #f6f8fa; border-radius: 6px; padding: 1em; overflow-x: auto; }
pre code { background: none; padding: 0; }
img { max-width: 100%; }
@media print { body { max-width: none; margin: 0; } img, tr { break-inside: avoid; } }
"""


def to_body(text: str) -> str:
    """Return Markdown as HTML, with the links that it has."""
    return str(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))


def to_html(body: str, *, title: str, files: Mapping[str, bytes]) -> str:
    """Return a report as one HTML page; the same body and files give the same bytes.

    Args:
        body: the report, from `to_body`.
        title: of the page.
        files: name -> content of what the text links to; all of it goes into the page. What is
            not among them is named, not linked.
    """

    def embedded(link: re.Match[str]) -> str:
        attribute, name, kind = link.groups()
        if name not in files:
            return link.group()
        data = base64.b64encode(files[name]).decode()
        save = f' download="{name}"' if attribute == "href" else ""
        return f'{attribute}="data:{_TYPES[kind]};base64,{data}"{save}'

    body = _BESIDE.sub(r"<code>\1</code>", _LINK.sub(embedded, body))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"{body}</body>\n</html>\n"
    )
