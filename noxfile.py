"""Every check of the project: `nox` runs the default ones, `nox -l` lists all."""

from __future__ import annotations

import os
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "types", "tests", "build"]
nox.options.error_on_missing_interpreters = True

# uv trusts the machine's certificates as pip does; else it fails behind a company's proxy.
os.environ.setdefault("UV_SYSTEM_CERTS", "true")

# uv compiles nothing, so that every process of the tests would compile all that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

PINNED = ("-c", "constraints.txt")
PROJECT = nox.project.load_toml("pyproject.toml")


def groups(*names: str) -> list[str]:
    return list(nox.project.dependency_groups(PROJECT, *names))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff."""
    session.install(*PINNED, *groups("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy, strictly."""
    session.install(*PINNED, ".", *groups("types"))
    session.run("mypy", *session.posargs)
    session.run("mypy", *(str(path) for path in sorted(Path("benchmarks").glob("*.py"))))


@nox.session
def tests(session: nox.Session) -> None:
    """Run every test, on as many cores as there are."""
    session.install(*PINNED, "-e", ".", *groups("tests"))
    arguments = session.posargs or ["-n", "auto", "--dist", "worksteal"]
    session.run("pytest", *arguments)


@nox.session
def build(session: nox.Session) -> None:
    """Install the wheel in a fresh environment; run help and a two-trial sweep from elsewhere."""
    session.install(*PINNED, "hatchling")
    folder = Path(session.create_tmp()).absolute()
    session.run("hatchling", "build", "-t", "wheel", "-d", str(folder / "dist"))
    wheel = max((folder / "dist").glob("*.whl"), key=lambda path: path.stat().st_mtime)
    session.install(*PINNED, str(wheel))
    session.chdir(folder)  # so that the installed packages are used, not the checkout
    session.run("bench", "--help")
    session.run(
        "bench", "sweep", "--trials", "2", "--dataset", "digits", "--trial-epochs", "1",
        "--epochs", "1", "--final-seeds", "1", "--out", str(folder / "results"),
    )  # fmt: skip


@nox.session(default=False)
def drill(session: nox.Session) -> None:
    """Kill a sweep a hundred times and compare all stores (the long form of a test)."""
    session.install(*PINNED, "-e", ".", *groups("tests"))
    session.run(
        "pytest", "-s", "tests/test_kill_drill.py", *session.posargs,
        env={"BENCH_DRILL_KILLS": "100"},
    )  # fmt: skip


@nox.session(default=False)
def zoo(session: nox.Session) -> None:
    """Run the conformance kit over every backbone, the heavy ones too (an hour and gigabytes)."""
    session.install(*PINNED, "-e", ".", *groups("tests"))
    files = session.posargs or ["tests/test_backbones.py", "tests/test_keras_zoo.py"]
    session.run("pytest", *files, env={"BENCH_ZOO": "all"})


@nox.session(default=False)
def bench_data(session: nox.Session) -> None:
    """Measure scene synthesis against the usual per-example pipeline."""
    session.install(*PINNED, "-e", ".")
    session.run("python", "benchmarks/bench_data.py", *session.posargs)


@nox.session(default=False)
def bench_engine(session: nox.Session) -> None:
    """Measure training against the usual notebook code and against the bare step (minutes)."""
    session.install(*PINNED, "-e", ".")
    session.run("python", "benchmarks/bench_engine.py", *session.posargs)


@nox.session(default=False)
def bench_report(session: nox.Session) -> None:
    """Time reports of 250, 500 and 1,000 runs made up in an MLflow store (minutes)."""
    session.install(*PINNED, "-e", ".")
    session.run("python", "benchmarks/bench_report.py", *session.posargs)


@nox.session(default=False)
def bench_recipe(session: nox.Session) -> None:
    """Train the notebook recipe with Keras's fit and with bench, and compare (hours)."""
    session.install(*PINNED, "-e", ".")
    session.run("python", "benchmarks/bench_recipe.py", *session.posargs)


@nox.session(default=False)
def bench_sweep(session: nox.Session) -> None:
    """Measure what the machinery of sweeps costs, and how two workers scale."""
    session.install(*PINNED, "-e", ".")
    session.run("python", "benchmarks/bench_sweep.py", *session.posargs)


@nox.session(default=False)
def bench_pruners(session: nox.Session) -> None:
    """Replay the pruners over real curves, of sweeps named by OUT SWEEP or a new one (minutes)."""
    session.install(*PINNED, "-e", ".")
    session.run("python", "benchmarks/bench_pruners.py", *session.posargs)


@nox.session(default=False)
def bench_start(session: nox.Session) -> None:
    """Measure how long help, lists and the first training step take to appear."""
    session.install(*PINNED, "-e", ".")
    session.run("python", "benchmarks/bench_start.py", *session.posargs)


@nox.session(default=False)
def bench_calibrate(session: nox.Session) -> None:
    """Count false alarms of verdicts on speed, and look for a slowdown of 10 % (20 minutes)."""
    session.install(*PINNED, "-e", ".")
    session.run("python", "benchmarks/bench_calibrate.py", *session.posargs)
