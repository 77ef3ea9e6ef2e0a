"""Under which name a sweep goes, if the user gives none or asks for a fresh one."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

from harness.config import RunConfig, digest_of
from harness.store import Store
from sweeps.plan import SweepPlan
from sweeps.space import DEFAULT_SPACE


def default_name(plan: SweepPlan) -> str:
    """Return a name made of backbone, data and a digest of all that was asked for."""
    known = "backbones" if "backbone" in plan.space.names() else plan.base.backbone
    backbone = re.sub(r"[^\w.-]+", "-", known).strip("-._")
    return f"{backbone}-{plan.data_source}-{digest_of(wish(plan))[:6]}"


def under_free_name(plans: Sequence[SweepPlan], store: Store) -> list[SweepPlan]:
    """Return the plans under their own name or NAME-2, NAME-3: the first that overwrites nothing.

    Args:
        plans: one, or the members of a group, whose names all begin with the group's.
        store: the output folder.
    """
    old = plans[0].group or plans[0].name
    for new in _names(old):
        named = [
            dataclasses.replace(
                plan, name=new + plan.name.removeprefix(old), group=plan.group and new
            )
            for plan in plans
        ]
        if all(_is_free(store, name) for name in {new, *(plan.name for plan in named)}):
            return named
    raise AssertionError("names never end")


def wish(plan: SweepPlan) -> dict[str, Any]:
    """Return what was asked for as far as it differs from the defaults.

    Neither code nor defaults are part of it: after an upgrade the same command meets the sweep
    that it began and is told what differs, instead of beginning another one unasked.
    """
    usual = SweepPlan(
        name="usual", base=RunConfig(), data_source="", data_digest="", space=DEFAULT_SPACE
    ).to_json()
    asked = plan.to_json()
    base = {n: v for n, v in asked.pop("base").items() if v != usual["base"][n]}
    without = {"name", "version", "code"}
    changed = {n: v for n, v in asked.items() if n not in without and v != usual[n]}
    return changed | {"base": base}


def _names(name: str) -> Iterator[str]:
    yield name
    for k in itertools.count(2):
        yield f"{name}-{k}"


def _is_free(store: Store, name: str) -> bool:
    """Tell whether a sweep of this name would go on with none and overwrite no run."""
    return not (store.sweep_dir(name).exists() or [*(store.root / "runs").glob(f"{name}-t[0-9]*")])
