"""What `bench sweep` does more if several backbones are searched: spaces, names, one budget."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Sequence

from architectures import registry
from harness.cmd_naming import wish
from harness.config import digest_of
from harness.errors import UsageError
from harness.store import Store
from sweeps.axes import Axis
from sweeps.group import SweepGroup, check_group, member_name, refuse_group
from sweeps.plan import SweepPlan, read_plan, settle_plan

_LONGEST_LIST = 50
"""Letters of backbones that a default name lists; beyond, it says how many there are."""


def member_searches(asked: Sequence[Axis], backbones: Sequence[str]) -> list[tuple[Axis, ...]]:
    """Return what is searched for each backbone: options of a network only where it has them.

    One that no backbone has stays with all, to be refused as it is for a single one.

    Args:
        asked: what is searched beyond the default.
        backbones: at least two.

    Raises:
        UsageError: the backbone is searched.
    """
    if any(axis.name == "backbone" for axis in asked):
        raise UsageError(
            "Backbones are either compared, by several --backbone with a search each, or "
            "searched as one field that may favour one of them, by --search backbone=A,B. "
            "Leave one out."
        )
    return [
        tuple(axis for axis in asked if _is_for(axis.name, backbone, backbones))
        for backbone in backbones
    ]


def named_members(plans: Sequence[SweepPlan], name: str | None) -> list[SweepPlan]:
    """Return the plans as members of one group.

    Args:
        plans: one for each backbone.
        name: of the group; None makes one from backbones, data and settings.

    Raises:
        UsageError: the name does not fit, or two backbones read alike in it.
    """
    name = name or _default_name(plans)
    members = [
        dataclasses.replace(plan, name=member_name(name, plan.base.backbone), group=name)
        for plan in plans
    ]
    SweepGroup.of(members)
    return members


def check_plans(plans: Sequence[SweepPlan], store: Store) -> None:
    """Check, before anything slow, that what is there may go on by these plans.

    Raises:
        SweepError: it was begun otherwise; the text names the difference.
    """
    if plans[0].group is not None:
        check_group(SweepGroup.of(plans), store.sweep_dir(plans[0].group))
    for plan in plans:
        folder = store.sweep_dir(plan.name)
        refuse_group(folder)
        if read_plan(folder) is not None:
            settle_plan(plan, folder)


def opening(plans: Sequence[SweepPlan], trials: int, n_train: int) -> str:
    """Return the words that a command begins with: what is searched, and what is granted."""
    first = plans[0]
    if first.group is None:
        return f"sweep {first.name}: {trials} trials"
    backbones = ", ".join(plan.base.backbone for plan in plans)
    examples = first.trial_budget(n_train)
    return (
        f"group {first.group}: {trials} trials for each of {backbones}, each trial of at most "
        f"{examples:,} training examples"
    )


def _is_for(name: str, backbone: str, backbones: Collection[str]) -> bool:
    if name not in registry.OPTIONS or registry.may_take(backbone, name):
        return True
    return not any(registry.may_take(other, name) for other in backbones)


def _default_name(plans: Sequence[SweepPlan]) -> str:
    ordered = sorted(
        plans, key=lambda plan: plan.base.backbone
    )  # typed in another order: the same
    names = "-".join(plan.base.backbone for plan in ordered)
    if len(names) > _LONGEST_LIST:
        names = f"{len(plans)}-backbones"
    words = re.sub(r"[^\w.-]+", "-", names).strip("-._")
    return f"{words}-{plans[0].data_source}-{digest_of([wish(p) for p in ordered])[:6]}"
