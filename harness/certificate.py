"""`Certificate`: whether strategies train the same network, quantity by quantity; versioned JSON.

Version history:
    1  first.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.errors import StoreError
from harness.record import DataIdentity, Machine, Measure
from harness.versioned import parsed_object, reading

CERTIFICATE_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One thing that must be the same, and how far it is from being so.

    Attributes:
        name: what it is, such as "first gradient norm".
        reference: what the first strategy found; a norm, if it is an array.
        found: what this one found.
        difference: how far apart they are; None for NaN or infinity, which never agree.
        how: what the difference is, such as "relative" or "largest".
        limit: largest difference that is called the same.
        basis: where the limit comes from.
    """

    name: str
    reference: float | None
    found: float | None
    difference: float | None
    how: str
    limit: float
    basis: str

    @property
    def agrees(self) -> bool:
        """Return whether the difference is within the limit."""
        return self.difference is not None and self.difference <= self.limit

    @property
    def used(self) -> float | None:
        """Return the difference as a share of the limit; None where there is no such number."""
        if self.difference is None or not self.limit:
            return None
        return self.difference / self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A strategy that was compared with the first one.

    Attributes:
        spec: as it was asked for, such as "mirrored:4".
        strategy: what was opened.
        devices: of one process.
        workers: processes.
        replicas: in step, over all workers.
        quantities: in the order in which they are judged; none for the reference itself.
        images_per_s: training images over time of the train loop, with samples.
    """

    spec: str
    strategy: str
    devices: tuple[str, ...]
    workers: int
    replicas: int
    quantities: tuple[Quantity, ...] = ()
    images_per_s: Measure

    @property
    def disagreement(self) -> Quantity | None:
        """Return the first quantity that disagrees; None if all agree."""
        return next((each for each in self.quantities if not each.agrees), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What was compared, and what came of it.

    Attributes:
        name: of the certificate; a file of that name holds it.
        config: of the reference; `strategy` and `devices` are those of the contenders.
        steps: of the loss path.
        controls: runs of the reference that are mathematically the same, rounded differently.
        silenced: layers that draw at random, whose rates were set to 0.
        reference: the first strategy.
        contenders: the others, in the order asked for.
    """

    name: str
    started_at: str
    duration_s: float
    config: RunConfig
    steps: int
    controls: int
    silenced: tuple[str, ...] = ()
    data: DataIdentity
    machine: Machine
    reference: Contender
    contenders: tuple[Contender, ...]
    version: int = CERTIFICATE_VERSION

    @property
    def certified(self) -> bool:
        """Return whether every quantity of every contender agrees."""
        return self.first_disagreement() is None

    def first_disagreement(self) -> tuple[Contender, Quantity] | None:
        """Return the first quantity that disagrees, with whose it is; None if all agree."""
        for contender in self.contenders:
            quantity = contender.disagreement
            if quantity is not None:
                return contender, quantity
        return None

    def efficiency(self, contender: Contender) -> float | None:
        """Return throughput over (replicas x throughput of one replica of the reference)."""
        one, many = self.reference.images_per_s.value, contender.images_per_s.value
        if not one or many is None:
            return None
        return many / (one / self.reference.replicas * contender.replicas)

    def to_json(self) -> dict[str, Any]:
        """Return the certificate as plain JSON values; the verdict is said too, for readers."""
        values = dataclasses.asdict(self) | {"config": self.config.to_json()}
        return values | {"certified": self.certified}

    def dumps(self) -> str:
        """Return the certificate as JSON text: keys sorted, no NaN, newline at the end."""
        return json.dumps(self.to_json(), sort_keys=True, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Certificate:
        """Build a certificate from `to_json` values.

        Raises:
            StoreError: the version is unknown or a field does not fit.
        """
        with reading("certificate", CERTIFICATE_VERSION, values):
            return cls(**_parsed(values))

    @classmethod
    def loads(cls, text: str) -> Certificate:
        """Parse what `dumps` wrote.

        Raises:
            StoreError: not JSON, or not a certificate.
        """
        return cls.from_json(parsed_object("certificate", text))


def certificates(folder: Path) -> Iterator[Certificate]:
    """Yield the certificates in a folder in the order of their names; none if there is no folder.

    Raises:
        StoreError: one cannot be read; the text names the file.
    """
    for path in sorted(folder.glob("*.json")):
        yield read_certificate(path)


def read_certificate(path: Path) -> Certificate:
    """Return the certificate in a file.

    Raises:
        StoreError: it cannot be read; the text names the file.
    """
    try:
        return Certificate.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, StoreError) as error:
        raise StoreError(f"{path}: {error}") from error


def finite(value: float) -> float | None:
    """Return a number, or None for NaN and infinity, which JSON does not have."""
    return value if math.isfinite(value) else None


def _parsed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the nested plain values back into the classes they came from."""
    parsed = {name: value for name, value in values.items() if name != "certified"}
    parsed["machine"] = Machine.from_json(values["machine"])
    parsed["config"] = RunConfig.from_json(values["config"])
    parsed["data"] = DataIdentity.from_json(values["data"])
    parsed["silenced"] = tuple(values["silenced"])
    parsed["reference"] = _contender(values["reference"])
    parsed["contenders"] = tuple(_contender(each) for each in values["contenders"])
    return parsed


def _contender(values: Mapping[str, Any]) -> Contender:
    speed = dict(values["images_per_s"])
    return Contender(
        **dict(values)
        | {
            "devices": tuple(values["devices"]),
            "quantities": tuple(Quantity(**each) for each in values["quantities"]),
            "images_per_s": Measure(**speed | {"samples": tuple(speed["samples"])}),
        }
    )
