"""What the documents and the packaging promise is checked against what is there."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

from harness.cli import bench

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def shell_lines(text: str) -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def bench_lines() -> list[str]:
    texts = (README, (ROOT / "docs" / "data.md").read_text(encoding="utf-8"))
    lines = [line for text in texts for line in shell_lines(text) if line.startswith("bench ")]
    setup = shell_lines(README)[0]
    return [*lines, setup.rpartition("&& .venv/bin/")[2]]


def parse(words: list[str]) -> click.Context:
    """Parse a command line as click would, down to the last subcommand, and run nothing."""
    command: click.Command = bench
    context = None
    while True:
        extra = {"ignore_unknown_options": False}
        context = command.make_context(command.name, list(words), parent=context, **extra)
        if not isinstance(command, click.Group):
            return context
        name, found, words = command.resolve_command(context, context._protected_args)  # type: ignore[attr-defined]
        assert found is not None, name
        command, words = found, [*words, *context.args]


def test_readme_opens_with_exactly_two_command_lines() -> None:
    first = shell_lines(README)[:2]
    assert README.index(first[1]) < README.index("## ")
    assert sum(line.startswith("python3 -m venv") for line in shell_lines(README)) == 2
    assert first[0].endswith(".venv/bin/bench sweep --trials 50")
    assert first[1].endswith(".venv-nox/bin/nox")


def test_ci_runs_the_second_line_and_nothing_else() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [line for line in lines if line and not line.startswith("#")]
    preparations = ("set ", "cd ", "if [ -d")
    assert [c for c in commands if not c.startswith(preparations)] == [shell_lines(README)[1]]


@pytest.mark.parametrize("line", bench_lines())
def test_every_bench_line_of_the_documents_parses(line: str) -> None:
    parse(shlex.split(line, comments=True)[1:])


def test_a_line_that_does_not_parse_is_noticed() -> None:
    with pytest.raises(click.ClickException):
        parse(["sweep", "--trails", "50"])


def test_contributing_is_short_and_names_every_session() -> None:
    assert len(CONTRIBUTING.splitlines()) <= 60
    sessions = re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.M)
    assert len(sessions) >= 5
    for session in sessions:
        assert f"nox -s {session}" in CONTRIBUTING


def test_each_dependency_says_which_file_needs_it() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text[text.index("dependencies = [") : text.index("[project.optional-dependencies]")]
    lines = re.findall(r'^    "([a-z][a-z0-9-]*)[^"]*",\s*# (.+)$', section, re.M)
    assert len(lines) == len(PROJECT["project"]["dependencies"])
    module = {"scikit-learn": "sklearn", "markdown-it-py": "markdown_it", "pillow": "PIL"}
    for name, comment in lines:
        files = re.findall(r"[\w/*]+\.py", comment)
        assert files, name
        for pattern in files:
            found = list(ROOT.glob(pattern))
            assert found, f"{name}: {pattern}"
            # What Optuna imports for us stands in no file of ours but its own name.
            needle = "optuna" if f"for {pattern}" in comment else module.get(name, name)
            texts = (path.read_text(encoding="utf-8") for path in found)
            imports = rf"^\s*(import|from) {needle}\b"
            assert any(re.search(imports, text, re.M) for text in texts), f"{name}: {pattern}"


def test_constraints_pin_every_dependency_and_name_no_place() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9._-]+==[\w.+!]+", line) for line in lines)
    pinned = {line.partition("==")[0] for line in lines}
    groups = PROJECT["dependency-groups"]
    wanted = [*PROJECT["project"]["dependencies"], *groups["tests"], *groups["lint"]]
    names = {re.split(r"[^A-Za-z0-9-]", item)[0] for item in [*wanted, *groups["types"]]}
    assert names <= pinned
