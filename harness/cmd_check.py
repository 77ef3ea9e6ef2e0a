"""`bench check`: the conformance kit over backbones, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from architectures import registry
from harness.console import console, note, quiet_stderr, waiting
from harness.errors import BenchError
from harness.scenes import CANVAS_PX

IMAGE_SHAPE = (CANVAS_PX, CANVAS_PX, 1)


def check(names: Sequence[str]) -> None:
    """Run every check over each backbone; print what holds, and how to mend what does not.

    Raises:
        UsageError: a name is unknown.
        BenchError: a check failed, or a backbone cannot be loaded.
    """
    with waiting("loading TensorFlow ..."), quiet_stderr():
        from architectures import contract

        contract.prepare()
    failed = 0
    for name in names:
        failed += _checked(name)
    if failed:
        raise BenchError(
            f"{failed} of {len(names) * len(contract.CHECKS)} checks failed: see above."
        )
    note(f"all {len(contract.CHECKS)} checks hold: `bench run --backbone {names[0]}` trains it")


def _checked(name: str) -> int:
    """Show the checks of one backbone; return how many failed."""
    from architectures import contract

    backbone = registry.get(name)
    faults = []
    table = Table(title=f"{name} ({backbone.location})", title_justify="left", box=None)
    table.add_column("check")
    table.add_column("must hold", overflow="fold")
    table.add_column("result")
    table.add_column("s", justify="right")
    with waiting(f"checking {name} ...") as now, quiet_stderr():
        results = contract.run(backbone, IMAGE_SHAPE)
        for check in contract.CHECKS:
            now(f"checking {name}: {check.__name__.removeprefix('check_')} ...")
            result = next(results)
            ok = result.fault is None
            mark = "[green]holds[/green]" if ok else "[red]FAILS[/red]"
            table.add_row(result.name, result.requirement, mark, f"{result.seconds:.1f}")
            if result.fault is not None:
                faults.append(f"{result.name}: {result.fault}")
    console.print(table)
    for fault in faults:
        console.print(fault, markup=False, highlight=False, soft_wrap=True)
    return len(faults)
