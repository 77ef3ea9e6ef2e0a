"""Further forms of a report: HTML that stands alone, a user's template, PDF by a browser."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from records import fabricate

from harness import pdf
from harness.config import RunConfig
from harness.errors import StoreError, UsageError
from reports.html import to_body, to_html
from reports.publish import Pages, PublishedReport, publish
from reports.template import check_template, fill, page_name
from reports.verify import verify

PNG = b"\x89PNG not a real one"


class Seen(HTMLParser):
    """Every tag and every address in a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


def written(folder: Path, pages: Pages) -> PublishedReport:
    runs = [
        fabricate(folder / "runs", name, config=RunConfig(backbone=name, dataset="mnist"))
        for name in ("a-cnn", "b-cnn")
    ]
    return publish(runs, folder / "report", title="Two & <more>", pages=pages)


def test_a_page_stands_alone() -> None:
    body = to_body(
        "# R\n\n![a picture](p.png)\n\n[numbers](p.csv) and [elsewhere](https://example.org/x.csv)"
    )
    page = to_html(body, title="T", files={"p.png": PNG, "p.csv": b"a,b\n"})
    picture, numbers, elsewhere = Seen(page).addresses
    assert picture == f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    assert base64.b64decode(numbers.partition(",")[2]) == b"a,b\n"
    assert 'download="p.csv"' in page
    assert elsewhere == "https://example.org/x.csv"


def test_a_whole_report_as_a_page(tmp_path: Path) -> None:
    report = written(tmp_path, Pages(html=True))
    assert [path.name for path in report.pages] == ["report.md", "report.html"]
    page = report.pages[1].read_text(encoding="utf-8")
    seen = Seen(page)
    assert "<title>Two &amp; &lt;more&gt;</title>" in page
    assert not {"script", "link", "iframe", "object"} & set(seen.tags)
    assert {"table", "img", "h2"} <= set(seen.tags)
    assert all(address.startswith(("data:", "#")) for address in seen.addresses)
    assert "<code>evidence/a-cnn/</code>" in page
    places = set(re.findall(r'<a id="([^"]+)">', page))
    assert {address[1:] for address in seen.addresses if address.startswith("#")} <= places
    assert len(seen.addresses) > 10
    words = report.path.read_text(encoding="utf-8")
    assert set(re.findall(r"0\.\d{4}", words)) <= set(re.findall(r"0\.\d{4}", page))
    assert written(tmp_path, Pages(html=True)).pages[1].read_text(encoding="utf-8") == page
    assert verify(report.path.parent).broken == []


def test_names_cannot_become_tags() -> None:
    body = to_body(r"\<script\>x\</script\> and `<script>`")
    page = to_html(body, title="</title><script>", files={})
    assert "script" not in Seen(page).tags


def template(folder: Path, text: str, name: str = "summary.md.j2") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_template_sees_the_whole_report(tmp_path: Path) -> None:
    source = (
        "{% for row in report.tables[0].contenders %}{{ row.name }}: "
        "{{ '%.3f' % row.quality.score.value }}\n{% endfor %}{{ markdown | length > 100 }}\n"
    )
    report = written(tmp_path, Pages(template=template(tmp_path, source)))
    made = report.pages[1].read_text(encoding="utf-8")
    assert report.pages[1].name == "summary.md"
    scores = {row.name: row.quality["score"].value for row in
              report.comparison.tables[0].contenders}  # fmt: skip
    assert made == "".join(f"{name}: {score:.3f}\n" for name, score in scores.items()) + "True\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{% for %}", "is no Jinja template, line 1"),
        ("{{ report.nothing }}", "does not fit the report: .*nothing"),
        ("{{ report.tables[7].data }}", "does not fit the report"),
        ("{{ ''.__class__.__mro__ }}", "does not fit the report: access to attribute '__class__'"),
        ("{{ 1 / 0 }}", "does not fit the report: division by zero"),
    ],
)
def test_a_template_that_does_not_fit_says_why(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        fill(template(tmp_path, text), {"tables": []}, "words")


def test_names_of_templates(tmp_path: Path) -> None:
    assert page_name(Path("a/summary.tex.jinja")) == "summary.tex"
    for name in ("summary.md", "summary", ".j2"):
        with pytest.raises(UsageError, match="must name a Jinja template"):
            page_name(Path(name))
    with pytest.raises(UsageError, match="cannot be read"):
        fill(tmp_path / "none.md.j2", {}, "")
    with pytest.raises(UsageError, match=r"would make report\.md, which the report has already"):
        written(tmp_path, Pages(template=template(tmp_path, "x", "report.md.j2")))
    assert not (tmp_path / "report").exists()


def test_templates_are_checked_before_the_work(tmp_path: Path) -> None:
    check_template(template(tmp_path, "{{ report.anything }}"))
    for name in ("evidence.j2", ".bench-report.json.j2", "report.json.j2"):
        with pytest.raises(UsageError, match="which the report has already"):
            check_template(template(tmp_path, "x", name))
    with pytest.raises(UsageError, match="is no Jinja template, line 1"):
        check_template(template(tmp_path, "{% for %}"))
    with pytest.raises(UsageError, match="cannot be read"):
        check_template(tmp_path / "none.md.j2")


def browser(folder: Path, script: str) -> str:
    path = folder / "chromium"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_a_pdf_is_what_the_browser_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for a browser, which proves what it is asked for."""
    script = (
        "for word; do case $word in --print-to-pdf=*) out=${word#*=};; file://*) in=${word#file://};;"
        ' esac; done; echo "%PDF of" > "$out"; grep -c "<table" "$in" >> "$out"'
    )
    path = browser(tmp_path, script)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert pdf.find_converter() == path
    assert pdf.to_pdf("<table>\n<table>", path) == b"%PDF of\n2\n"
    with pytest.raises(StoreError, match="did not print the report: out of luck"):
        pdf.to_pdf("x", browser(tmp_path, "echo out of luck >&2; exit 3"))


def test_without_a_browser_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UsageError, match=r"--pdf needs one of chromium, .* Take --html"):
        pdf.find_converter()
