"""Who imports whom, and what an import or a `--help` pulls in."""

from __future__ import annotations

import ast
import graphlib
import json
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("harness", "architectures", "sweeps", "reports")
DOOR = "harness.cli"
HALLS = {"harness.sweep_display", "harness.group_display"}
"""Besides the door and its commands (`harness.cmd_*`) they alone of harness see other rooms."""

VALUES = {
    "harness.errors", "harness.cause", "harness.config", "harness.metrics", "harness.record",
    "harness.store", "harness.certificate", "harness.cell", "harness.timings",
    "harness.noise_floor", "harness.goal", "harness.angles", "harness.scene_spec",
    "harness.students_t",
}  # fmt: skip
WITH_NUMPY = {"harness.predictions", "harness.boxes", "harness.evaluate"}
ALLOWED = {
    "architectures": {"harness.errors"},
    "sweeps": VALUES | WITH_NUMPY | {"harness.child_python"},
    "reports": VALUES | WITH_NUMPY | {"harness.lean"},
}
"""What a room may import of the others; harness is tested apart."""

LATE = {
    "harness.digits": {"sklearn.datasets"},  # 3 s, if its file of digits is not where it was
    "reports.verdict_figures": {"seaborn"},  # a second that only who draws needs
    "sweeps.evolution": {"cmaes"},  # an extra
    "reports.speed_floor": {"scipy.stats"},  # most of a second that only calibrations need
    "sweeps.sobol": {"scipy.stats.qmc"},  # a second that only one sampler needs
}
"""Imports inside a function, of modules other than the door."""

SLOW = ("tensorflow", "keras", "mlflow", "optuna", "pandas", "seaborn", "matplotlib", "sklearn")
"""Each costs a large part of a second or more, so that help must not wait for it."""


def modules() -> dict[str, ast.Module]:
    """Every module of the rooms by its full name."""
    paths = (path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    found = {}
    for path in paths:
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


MODULES = modules()


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules a piece of code imports: `from a import b` is `a.b` if that is a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the room"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else str(node.module)


def is_command(module: str) -> bool:
    """Whether a module is the door or the inside of one of its commands."""
    return module == DOOR or module.startswith("harness.cmd_")


def room(module: str) -> str:
    return module.partition(".")[0]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_keep_the_direction(name: str) -> None:
    foreign = {m for m in imported(MODULES[name]) if room(m) in ROOMS and room(m) != room(name)}
    if room(name) != "harness":
        assert foreign <= ALLOWED[room(name)]
    elif not is_command(name) and name not in HALLS:
        assert {room(module) for module in foreign} <= {"architectures"}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_nobody_imports_the_door(name: str) -> None:
    seen = set(imported(MODULES[name]))
    assert DOOR not in seen
    if not is_command(name):
        halls = set() if name in HALLS else HALLS
        assert not [module for module in seen if is_command(module) or module in halls]


@pytest.mark.parametrize("name", sorted(name for name in MODULES if not is_command(name)))
def test_imports_stand_at_the_top(name: str) -> None:
    functions = [
        node
        for node in ast.walk(MODULES[name])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    ]
    inside = {module for function in functions for module in imported(function)}
    assert inside == LATE.get(name, set())


def test_harness_loads_tensorflow_lean() -> None:
    for name, tree in MODULES.items():
        if room(name) == "harness" and name != "harness.tf_keras":
            assert not {"tensorflow", "keras"} & {room(module) for module in imported(tree)}, name


def test_mlflow_is_loaded_after_its_settings() -> None:
    tests = {path.stem: ast.parse(path.read_text("utf-8")) for path in ROOT.glob("tests/*.py")}
    for name, tree in {**MODULES, **tests}.items():
        if name not in {"harness.mlflow_api", "harness.mlflow_models_api"}:
            assert "mlflow" not in {room(module) for module in imported(tree)}, name
    assert "harness.mlflow_api" in imported(MODULES["harness.mlflow_models_api"])


def test_imports_make_no_circle() -> None:
    graph = {name: {m for m in imported(tree) if m in MODULES} for name, tree in MODULES.items()}
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert set(order) == set(MODULES)


def test_values_need_the_standard_library_alone() -> None:
    for name in VALUES:
        outside = {room(module) for module in imported(MODULES[name])} - set(ROOMS)
        assert outside <= set(sys.stdlib_module_names)
    for name in WITH_NUMPY:
        outside = {room(module) for module in imported(MODULES[name])} - set(ROOMS)
        assert outside - set(sys.stdlib_module_names) <= {"numpy"}


def test_everything_imported_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["samplers"]
    declared = {re.split(r"[\[<>=!~; ]", line)[0] for line in lines}
    packages = {
        "sklearn": "scikit-learn",
        "markdown_it": "markdown-it-py",
        "PIL": "pillow",
    }
    for name, tree in MODULES.items():
        outside = {room(module) for module in imported(tree)} - set(ROOMS)
        outside -= set(sys.stdlib_module_names)
        assert {packages.get(module, module) for module in outside} <= declared, name


def test_module_names_are_unique_and_say_something() -> None:
    names = [name.rpartition(".")[2] for name in MODULES if name not in ROOMS]
    assert [name for name, times in Counter(names).items() if times > 1] == []
    assert not {"utils", "helpers", "common", "base"} & set(names)


def run(code: str, *, warnings: str = "error") -> str:
    """Run code in a fresh interpreter at the root of the repository; return what it prints."""
    command = [sys.executable, "-W", warnings, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


LIGHT = sorted(VALUES | {"architectures.registry", *(name for name in MODULES if name == DOOR)})


def test_light_modules_load_nothing_slow() -> None:
    code = f"""
import importlib, json, sys
blame = {{}}
for name in {LIGHT}:
    importlib.import_module(name)
    for slow in {SLOW}:
        if slow in sys.modules:
            blame.setdefault(slow, name)
print(json.dumps(blame))
"""
    assert json.loads(run(code)) == {}, "slow package: the light module that loaded it"


def test_no_help_loads_anything_slow() -> None:
    code = f"""
import contextlib, io, json, sys
import click
from harness.cli import bench

def commands(command, path):
    yield path
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            yield from commands(command.get_command(click.Context(command), name), [*path, name])

seen, blame = [], {{}}
for path in list(commands(bench, [])):
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        bench.main([*path, "--help"], standalone_mode=False)
    assert "Usage:" in text.getvalue(), path
    seen.append(" ".join(path))
    for slow in {SLOW}:
        if slow in sys.modules:
            blame.setdefault(slow, " ".join(["bench", *path]))
print(json.dumps([seen, blame]))
"""
    seen, blame = json.loads(run(code))
    assert {"run", "sweep", "report", "list"} <= set(seen)
    assert blame == {}, "slow package: the command whose help loaded it"


def test_names_of_backbones_are_listed_without_keras() -> None:
    code = f"""
import json, sys
from architectures import registry
registry.entries()
registry.check_name("notebook-cnn")
print(json.dumps([registry.names(), [slow for slow in {SLOW} if slow in sys.modules]]))
"""
    names, slow = json.loads(run(code))
    assert {"notebook-cnn", "readme-cnn"} <= set(names)
    assert slow == []


DOORS = (
    "harness.run", "harness.certify_probe", "harness.pace_probe", "harness.step_probe",
    "harness.track",
)  # fmt: skip


def test_what_trains_and_what_tracks_load_no_extras() -> None:
    code = f"""
import importlib, json, sys
from harness.lean import EXTRAS
blame = {{}}
for door in {DOORS}:
    importlib.import_module(door)
    for extra in EXTRAS:
        if extra in sys.modules:
            blame.setdefault(extra, door)
print(json.dumps(blame))
"""
    # MLflow still uses what SQLAlchemy deprecates.
    assert json.loads(run(code, warnings="ignore")) == {}, "extra: the module that loaded it"
