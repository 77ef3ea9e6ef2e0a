"""The part of a report that says whether strategies train the same network."""

from __future__ import annotations

from collections.abc import Sequence

from harness.certificate import Certificate, Contender
from harness.noise_floor import NoiseFloor
from reports.speed_floor import floor_of_machine, least_difference
from reports.wording import code, table, text

_READING = (
    "Each strategy was compared with the first: loss, gradient, averages and outputs of the first "
    "step, the loss path, and evaluations that do not divide into batches. **Margin** is the "
    "largest difference as a share of its limit. **Efficiency** is images/s over (replicas x "
    "images/s of the first); replicas on logical CPU devices or in processes of one machine share "
    "its cores."
)


def certificate_lines(
    certificates: Sequence[Certificate], floors: Sequence[NoiseFloor] = ()
) -> list[str]:
    """Return one table of verdicts and scaling for each certificate; nothing if there is none.

    Args:
        certificates: what to tell of.
        floors: calibrations, of any machines.
    """
    if not certificates:
        return []
    lines = ["## Strategies", ""]
    for certificate in certificates:
        lines += _one(certificate, floor_of_machine(floors, certificate.machine))
    lines += [_READING, ""]
    return lines


def _one(certificate: Certificate, noise: NoiseFloor | None) -> list[str]:
    config = certificate.config
    what = (
        f"{code(config.backbone)}, global batch {config.global_batch_size}, seed {config.seed}, "
        f"{certificate.steps} steps on {text(certificate.data.source)} "
        f"(certificate {code(certificate.name)}):"
    )
    lines = [what, ""]
    rows = [
        [code(each.spec), str(each.replicas), f"{each.images_per_s.value or 0:,.0f}",
         _efficiency(certificate, each), _margin(each), _verdict(certificate, each)]
        for each in (certificate.reference, *certificate.contenders)
    ]  # fmt: skip
    head = ["strategy", "replicas", "images/s", "efficiency", "margin", "verdict"]
    lines += table(head, rows, right="-rrrr")
    lines += [_speed_note(least_difference(noise, 1, len(certificate.contenders))), ""]
    if certificate.silenced:
        names = ", ".join(code(name) for name in certificate.silenced)
        lines += [f"The rates of its random layers were 0: {names}.", ""]
    return lines


def _speed_note(floor: float | None) -> str:
    if floor is None:
        return (
            "Speeds are shown, not compared: no noise floor of this machine is stored "
            "(`bench calibrate`)."
        )
    return (
        f"Speeds are of one process each: ratios of images/s within {100 * floor:.1f} % of 1, the "
        "noise floor of this machine, are no differences."
    )


def _efficiency(certificate: Certificate, contender: Contender) -> str:
    efficiency = certificate.efficiency(contender)
    return "absent" if efficiency is None else f"{efficiency:.0%}"


def _margin(contender: Contender) -> str:
    used = [each.used for each in contender.quantities if each.used is not None]
    return f"{max(used):.0%}" if used else ""


def _verdict(certificate: Certificate, contender: Contender) -> str:
    if contender is certificate.reference:
        return "reference"
    found = contender.disagreement
    return "agrees" if found is None else f"**differs**: {text(found.name)}"
