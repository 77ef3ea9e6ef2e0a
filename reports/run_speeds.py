"""Whether the runs of a leaderboard differ in speed: that needs the noise floor of their machine.

Runs are not timed in turns, and those of one command share a process, so nothing says that drift
or the luck of a process cancels. The floor is that of one process each, however many runs there
are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.noise_floor import NoiseFloor
from harness.record import Machine
from reports.compare import Table
from reports.contenders import Contender
from reports.speed_floor import floor_of_machine, least_difference, why_open
from reports.wording import count

_MOST_VERDICTS = 20
_APART = (
    "Rows that {} trained on other kinds of devices are not compared: each kind has its floor."
)


def run_speed_lines(
    board: Table,
    links: Mapping[str, str],
    machines: Mapping[str, Machine],
    floors: Sequence[NoiseFloor],
) -> list[str]:
    """Return what may be said of the speeds in a leaderboard, as a list; nothing of a single row.

    On each machine the fastest of those on its CPU, or its GPUs, is compared with the others; as
    the data chose it, the level is shared among all pairs of them (Bonferroni).

    Args:
        board: the leaderboard.
        links: name of a contender -> it as a link to its runs.
        machines: label such as "M1" -> machine.
        floors: calibrations, of any machines.
    """
    lines = []
    for label in board.machines:
        timed = [
            row for row in board.contenders
            if row.machines == (label,) and row.images_per_s.value
        ]  # fmt: skip
        kinds = dict.fromkeys(row.devices for row in timed)
        for devices in kinds:
            rows = [row for row in timed if row.devices == devices]
            if len(rows) > 1:
                rows.sort(key=lambda row: (-(row.images_per_s.value or 0.0), row.rank, row.name))
                floor = floor_of_machine(floors, machines[label], devices)
                where = label if len(kinds) == 1 else f"{label} ({' and '.join(devices).upper()})"
                lines += [f"- {line}" for line in _on_one_machine(rows, links, where, floor)]
        if len(kinds) > 1:
            lines.append(f"- {_APART.format(label)}")
    return ["### Training speed", "", *lines, ""] if lines else []


def _on_one_machine(
    rows: Sequence[Contender], links: Mapping[str, str], label: str, noise: NoiseFloor | None
) -> Iterator[str]:
    floor = least_difference(noise, rounds=1, comparisons=len(rows) * (len(rows) - 1) // 2)
    if noise is None or floor is None:
        yield (
            f"No difference of images/s on {label} is claimed: no noise floor of that machine is "
            "stored. `bench calibrate` measures one."
        )
        return
    fastest, *others = rows
    for row in others[:_MOST_VERDICTS]:
        yield _verdict(fastest, row, links, floor)
    left_out = len(others) - _MOST_VERDICTS
    if left_out > 0:
        yield f"Not compared with the fastest: {count(left_out, 'row')} on {label}, slower still."
    yield (
        f"Noise floor of {label} for single processes: {100 * (noise.relative() or 0.0):.1f} %, "
        f"for these {count(len(rows), 'row')} together {100 * floor:.1f} %; "
        f"{len(noise.pairs)} identical pairs, {noise.started_at[:10]}."
    )


def _verdict(fastest: Contender, row: Contender, links: Mapping[str, str], floor: float) -> str:
    first, other = fastest.images_per_s, row.images_per_s
    assert first.value is not None
    assert other.value is not None
    names = f"{links[fastest.name]} and {links[row.name]}"
    reason = why_open(first, other, floor)
    if reason is not None:
        return f"Cannot separate {names}: {reason}."
    return (
        f"{links[fastest.name]} trained {first.value / other.value:.2f} times as many images/s as "
        f"{links[row.name]}."
    )
