"""`bench check`: the conformance kit over backbones, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from architectures import registry
from harness.console import console, note, quiet_stderr, waiting
from harness.errors import BenchError
from harness.scenes import CANVAS_PX

if TYPE_CHECKING:
    from architectures.contract import Result

IMAGE_SHAPE = (CANVAS_PX, CANVAS_PX, 1)


def check(names: Sequence[str]) -> None:
    """Run every check over each backbone; print what holds, and how to mend what does not.

    Raises:
        UsageError: a name is unknown.
        BenchError: a check failed, or a backbone cannot be loaded.
    """
    with waiting("loading TensorFlow ..."), quiet_stderr():
        from harness.tf_keras import keras  # noqa: F401, I001  (lean only if it comes first)
        from architectures import contract

        contract.prepare()
    failed = 0
    for name in names:
        failed += _checked(name)
    if failed:
        raise BenchError(f"Every check must hold, but {failed} failed: see above.")
    note(f"all {len(contract.CHECKS)} checks hold: `bench run --backbone {names[0]}` trains it")


def _checked(name: str) -> int:
    """Show the checks of one backbone; return how many failed."""
    from architectures import contract

    backbone = registry.get(name)
    done: list[Result] = []
    with waiting(f"checking {name} ...") as now, quiet_stderr():
        results = contract.run(backbone, IMAGE_SHAPE)
        for each in contract.CHECKS:
            now(f"checking {name}: {each.__name__.removeprefix('check_')} ...")
            done.append(next(results))
    console.print(_table(Text(f"{name} ({backbone.location})"), done))
    faults = [f"{result.name}: {result.fault}" for result in done if result.fault is not None]
    for fault in faults:
        console.print(fault, markup=False, highlight=False, soft_wrap=True)
    return len(faults)


def _table(title: Text, results: Sequence[Result]) -> Table:
    table = Table(title=title, title_justify="left", box=None)
    table.add_column("check")
    table.add_column("must hold", overflow="fold")
    table.add_column("result")
    table.add_column("s", justify="right")
    for result in results:
        seconds = "" if result.seconds is None else f"{result.seconds:.1f}"
        table.add_row(result.name, result.requirement, _mark(result), seconds)
    return table


def _mark(result: Result) -> Text:
    if result.fault is not None:
        return Text("FAILS", style="red")
    return Text("not tried") if result.seconds is None else Text("holds", style="green")
