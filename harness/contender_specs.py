"""What `bench certify --strategies` names, such as "cpu,mirrored:4": checked at no cost."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.devices import replica_batch
from harness.errors import UsageError, unknown_name

KINDS: dict[str, str] = {
    "cpu": "one CPU device",
    "gpu": "one GPU",
    "mirrored": "replicas in one process, :N for how many; logical CPU devices where GPUs lack",
    "multiworker": "processes on this machine with one replica each, :N for how many",
}
"""What can be certified here, with one line on what it is."""

MOST_STEPS = 1000
"""Of a loss path. After some dozens two roundings of one training have drifted apart."""

_SEVERAL = ("mirrored", "multiworker")
_SPEC = re.compile(r"([\w-]+)(?::(\d{1,4}))?")
_DEFAULT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A strategy to certify, with its size.

    Attributes:
        text: as it was asked for, such as "mirrored:4".
        strategy: a key of `KINDS`.
        workers: processes.
        devices: of each process, as `--devices` takes them; empty for the strategy's default.
    """

    text: str
    strategy: str
    workers: int = 1
    devices: str = ""

    @property
    def replicas(self) -> int:
        """Return the replicas in step, of all workers."""
        return self.workers * max(1, len(self.devices.split(",")))


def parse_specs(text: str, *, gpus: int) -> tuple[Spec, ...]:
    """Return the strategies in a list such as "cpu,mirrored,multiworker:3", the reference first.

    Args:
        text: names with commas between; `mirrored` and `multiworker` take a number behind a colon.
        gpus: how many GPUs may be used.

    Raises:
        UsageError: a name or number is not allowed, one comes twice, or there is only one.
    """
    specs = tuple(_spec(part.strip(), gpus) for part in text.split(","))
    if len(specs) < 2:
        raise UsageError(
            f"--strategies must name at least 2, the first of them the reference, got {text!r}. "
            "Use for example cpu,mirrored,multiworker."
        )
    for place, spec in enumerate(specs):
        same = [s for s in specs[:place] if _what(s) == _what(spec)]
        if same:
            raise UsageError(
                f"--strategies must name each strategy once, but {spec.text!r} is the same as "
                f"{same[0].text!r}."
            )
    return specs


def check_shares(specs: tuple[Spec, ...], global_batch: int) -> None:
    """Raise `DeviceError` if the replicas of one cannot share the global batch evenly."""
    for spec in specs:
        replica_batch(
            batch_size=1, global_batch_size=global_batch, replicas=spec.replicas,
            strategy=spec.text,
        )  # fmt: skip


def _spec(text: str, gpus: int) -> Spec:
    found = _SPEC.fullmatch(text)
    if not found or found[1] not in KINDS:
        raise unknown_name("strategy", found[1] if found else text, KINDS)
    name = found[1]
    if found[2] is not None and name not in _SEVERAL:
        raise UsageError(f"`{name}` is one device and takes no number, got {text!r}.")
    count = int(found[2]) if found[2] else _DEFAULT
    if name in _SEVERAL and count < 2:
        raise UsageError(f"`{name}` must have at least 2 replicas, got {text!r}.")
    match name:
        case "gpu" if not gpus:
            raise UsageError("`gpu` needs a GPU, but there is none to be used. Leave it out.")
        case "mirrored":
            if not found[2] and gpus > 2:
                count = gpus
            kind = "gpu" if gpus >= count else "cpu"
            devices = ",".join(f"{kind}:{i}" for i in range(count))
            return Spec(text=text, strategy=name, devices=devices)
        case "multiworker":
            return Spec(text=text, strategy=name, workers=count)
    return Spec(text=text, strategy=name)


def _what(spec: Spec) -> tuple[str, int, str]:
    return spec.strategy, spec.workers, spec.devices
