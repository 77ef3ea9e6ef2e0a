"""Packages of strangers, installed for real: the one that README shows, and broken ones."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import warm_process

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

PYPROJECT = """
[project]
name = "{name}"
version = "0.1"
entry-points."bench.backbones".{backbone} = "{name}:net"

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
"""


def readme_files() -> dict[str, str]:
    """Return the two files of the package in README, by name."""
    blocks = re.findall(r"^```(?:python|toml)\n# (\S+)\n(.*?)^```", README, re.M | re.S)
    return {name: text for name, text in blocks if name in {"fancynets.py", "pyproject.toml"}}


def install(files: dict[str, str], source: Path, target: Path) -> None:
    source.mkdir()
    for name, text in files.items():
        (source / name).write_text(text, encoding="utf-8")
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
            "--no-build-isolation", "--disable-pip-version-check", "--target", str(target),
            str(source),
        ],
        check=True, capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three installed packages: README's, one that cannot be imported, a thief."""
    folder = tmp_path_factory.mktemp("plugins")
    target = folder / "installed"
    install(readme_files(), folder / "fancynets", target)
    broken = {"pyproject.toml": PYPROJECT.format(name="brokennets", backbone="broken")}
    install(broken | {"brokennets.py": "import no_such_module"}, folder / "broken", target)
    thief = {"pyproject.toml": PYPROJECT.format(name="thievingnets", backbone="readme-cnn")}
    install(thief | {"thievingnets.py": "def net(shape): ..."}, folder / "thief", target)
    return target


def bench(line: str, packages: Path, folder: Path) -> tuple[int, str, str]:
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("BENCH_", "MLFLOW_"))}
    done = warm_process.run(
        *line.split(), folder=folder, environment=environment | {"PYTHONPATH": str(packages)}
    )
    return done.returncode, done.stdout, done.stderr


def test_the_package_of_the_readme_is_short() -> None:
    files = readme_files()
    assert set(files) == {"fancynets.py", "pyproject.toml"}
    assert sum(bool(line.strip()) for text in files.values() for line in text.splitlines()) < 20


def test_plugins_are_listed_without_being_imported(packages: Path, tmp_path: Path) -> None:
    code, said, _ = bench("list backbones", packages, tmp_path)
    lines = dict(line.split(maxsplit=1) for line in said.splitlines())
    assert code == 0
    assert lines["fancy"].strip() == "from fancynets"
    assert lines["broken"].strip() == "from brokennets"


@pytest.mark.slow
def test_the_plugin_trains_and_takes_its_option(packages: Path, tmp_path: Path) -> None:
    line = (
        "run --backbone fancy --width 0.5 --head soft-argmax --dataset digits --epochs 1 "
        "--train-examples 64 --no-test"
    )
    code, said, errors = bench(line, packages, tmp_path)
    assert (code, errors) == (0, ""), said
    # 5 x 5 x 4 + 4 and 3 x 3 x 4 x 8 + 8; head: 8 + 1, 8 x 10 + 10 and 8 x 4 + 4.
    assert f"{104 + 296 + 9 + 90 + 36:,} parameters" in said
    code, _, errors = bench("run --backbone fancy --depth 2", packages, tmp_path)
    assert code == 2
    assert errors.startswith("Error: Backbone 'fancy' has no `depth` to set. It takes `width`. ")
    assert len(errors.splitlines()) == 1


@pytest.mark.slow
def test_a_broken_plugin_spoils_only_itself(packages: Path, tmp_path: Path) -> None:
    code, _, errors = bench("run --backbone broken --dataset digits", packages, tmp_path)
    assert code == 1
    assert errors == (
        "Error: Backbone 'broken' of brokennets cannot be imported from brokennets:net: "
        "ModuleNotFoundError: No module named 'no_such_module'. Mend the package, or choose "
        "another backbone.\n"
    )


def test_a_name_with_two_owners_is_refused_naming_both(packages: Path, tmp_path: Path) -> None:
    code, _, errors = bench("run --backbone readme-cnn --dataset digits", packages, tmp_path)
    assert code == 2
    assert "'readme-cnn' is claimed by architectures.readme_cnn:readme_cnn (locbench)" in errors
    assert "and by thievingnets:net (thievingnets)" in errors
    assert not (tmp_path / "bench-runs").exists()
