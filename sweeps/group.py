"""A group of sweeps: several backbones, each searched by a sweep of its own, with equal budgets.

Each member is a whole sweep with its folder, journal and plan; the group only says which belong
together. Members get the same number of trials, and each of their trials the same number of
training examples. What pruning saves is not spent again: a backbone with bad curves would then
get more trials than one with good ones.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import StoreError, SweepError, UsageError
from harness.store import write_atomically
from sweeps.described import read_described
from sweeps.plan import PLAN_FILE, SweepPlan

GROUP_FILE = "group.json"
GROUP_VERSION = 1

_FREE = {"name", "base", "space", "code"}
"""Fields in which the plans of members may differ; of `base` only the backbone, of `code` only
what belongs to a plug-in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepGroup:
    """Which sweeps belong together.

    Attributes:
        name: of the group's folder; the names of its members begin with it.
        members: name of a member -> its backbone, in the order in which they are shown.
    """

    name: str
    members: Mapping[str, str]

    @classmethod
    def of(cls, plans: Sequence[SweepPlan]) -> SweepGroup:
        """Return the group of these sweeps.

        Raises:
            UsageError: their names do not tell them apart.
            ValueError: they are no group, or their budgets are not equal.
        """
        names = {plan.group for plan in plans}
        (name,) = names if len(names) == 1 else (None,)
        if name is None or len(plans) < 2:
            raise ValueError(f"a group needs at least two sweeps that name it, got {names}")
        _check_equal(plans)
        members = {plan.name: plan.base.backbone for plan in plans}
        if len(members) < len(plans):
            raise UsageError(
                "The sweeps of a group need names of their own, but two of the backbones "
                f"{', '.join(plan.base.backbone for plan in plans)} read alike in a file name. "
                "Search them by a command each."
            )
        return cls(name=name, members=members)

    def to_json(self) -> dict[str, Any]:
        """Return the group as plain JSON values."""
        return {"version": GROUP_VERSION, "name": self.name, "members": dict(self.members)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SweepGroup:
        """Build a group from `to_json` values.

        Raises:
            StoreError: the version is unknown or a field does not fit.
        """
        if values.get("version") != GROUP_VERSION:
            raise StoreError(
                f"A group's description must have version {GROUP_VERSION}, "
                f"got {values.get('version')!r}. Another release of bench wrote it: use that one."
            )
        name, members = values.get("name"), values.get("members")
        if not (isinstance(name, str) and isinstance(members, dict) and members):
            raise StoreError("A group's description must have a name and members.")
        return cls(name=name, members={str(key): str(value) for key, value in members.items()})


def member_name(group: str, backbone: str) -> str:
    """Return the name of the sweep of one backbone; letters that no folder may have become "-"."""
    return f"{group}.{re.sub(r'[^A-Za-z0-9._-]+', '-', backbone).strip('-._')}"


def check_group(group: SweepGroup, folder: Path) -> bool:
    """Check that the folder holds this group or nothing; return whether it is there.

    Raises:
        SweepError: the folder holds a sweep, or a group of other backbones.
        StoreError: it cannot be read.
    """
    if (folder / PLAN_FILE).exists():
        raise SweepError(
            f"{group.name!r} is the name of a sweep of one backbone already, so a group cannot "
            "have it. Choose another --name."
        )
    found = read_group(folder)
    if found is None:
        return False
    if set(found.members.values()) != set(group.members.values()):
        raise SweepError(
            f"Group {group.name!r} must go on as it began, with the backbones "
            f"{', '.join(found.members.values())}, but now they are "
            f"{', '.join(group.members.values())}. Give these, or choose another --name."
        )
    return True


def refuse_group(folder: Path) -> None:
    """Refuse a sweep of one backbone in the folder of a group.

    Raises:
        SweepError: the folder is that of a group.
    """
    group = read_group(folder)
    if group is not None:
        raise SweepError(
            f"{group.name!r} is the name of a group already, with the backbones "
            f"{', '.join(group.members.values())}. Give these, or choose another --name."
        )


def settle_group(group: SweepGroup, folder: Path) -> None:
    """Write the group into its folder, or check that it is the one found there.

    Raises:
        SweepError: see `check_group`.
        StoreError: it cannot be read or written.
    """
    if not check_group(group, folder):
        text = json.dumps(group.to_json(), indent=1) + "\n"
        write_atomically(folder / GROUP_FILE, text.encode())


def read_group(folder: Path) -> SweepGroup | None:
    """Return the group in a folder, or None if there is none.

    Raises:
        StoreError: it cannot be read; the text names the file.
    """
    return read_described(folder / GROUP_FILE, SweepGroup.from_json)


def _check_equal(plans: Sequence[SweepPlan]) -> None:
    """Raise `ValueError` unless the plans differ in backbone and space alone.

    Then all members get equal budgets: no field that decides how much a trial trains on can be
    searched.
    """
    first = plans[0]
    for plan in plans[1:]:
        fields = [item.name for item in dataclasses.fields(plan) if item.name not in _FREE]
        other = [name for name in fields if getattr(plan, name) != getattr(first, name)]
        alike = dataclasses.replace(plan.base, backbone=first.base.backbone)
        if other or alike != first.base:
            raise ValueError(f"members of a group must be searched alike, but {other} differ")
