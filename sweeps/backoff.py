"""The batch of a trial that ran out of memory: half of it, and half again, down to one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.config import RunConfig
from harness.errors import StoreError
from harness.record import RunRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """What became of a trial's batch.

    Attributes:
        field: the field of `RunConfig` that says how large it is.
        too_large: sizes that ran out of memory, in the order in which they were tried.
        size: the one to train with.
    """

    field: str
    too_large: tuple[int, ...]
    size: int

    def changes(self) -> dict[str, int]:
        """Return the field of the configuration that differs from what the trial drew."""
        return {self.field: self.size}

    def words(self) -> str:
        """Return in words what the last halving was."""
        return f"{self.field} {self.size} instead of {self.too_large[-1]}"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"field": self.field, "too_large": list(self.too_large), "size": self.size}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Backoff:
        """Build it from `to_json` values.

        Raises:
            StoreError: they are none.
        """
        try:
            sizes = tuple(int(size) for size in values["too_large"])
            return cls(field=str(values["field"]), too_large=sizes, size=int(values["size"]))
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"This says of no trial how its batch was halved: {values}."
            ) from error


def halved(record: RunRecord, before: Backoff | None) -> Backoff | None:
    """Return half the batch of a run that ran out of memory; None if it cannot be halved.

    A global batch is halved in each replica, so that they still share it evenly.

    Args:
        record: of the run.
        before: how its batch had been halved.
    """
    config: RunConfig = record.config
    shares = record.machine.replicas if record.machine and config.global_batch_size else 1
    size = config.batch // shares // 2 * shares
    if size < 1:
        return None
    tried = before.too_large if before else ()
    return Backoff(field=config.batch_field, too_large=(*tried, config.batch), size=size)
