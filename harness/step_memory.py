"""What one training step needs of memory, measured in a process that does nothing else.

Whatever else a process has done (another network, a plotting library) would count with it: the
peak of a process never falls. `harness.step_probe` is what runs there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from harness.child_python import environment, python
from harness.config import RunConfig
from harness.record import Measure

_CODE = "import sys; from harness.step_probe import tell; tell(sys.argv[1])"
_MARK = "step memory: "  # backbones may print lines of their own


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMemory:
    """What a training step needs.

    Attributes:
        peak_mib: peak above what the process held before it built the network, in MiB: weights,
            Adam's moments, gradients, activations, and the traced step itself.
        where: which memory that is, in words; empty if there is no value.
    """

    peak_mib: Measure
    where: str = ""

    def dumps(self) -> str:
        """Return it as one line of text."""
        return _MARK + json.dumps(dataclasses.asdict(self))

    @classmethod
    def loads(cls, text: str) -> StepMemory:
        """Parse what `dumps` returned."""
        values = json.loads(text.removeprefix(_MARK))
        peak = values["peak_mib"]
        return cls(
            peak_mib=Measure(value=peak["value"], reason=peak["reason"]), where=values["where"]
        )


def absent(reason: str) -> StepMemory:
    """Return that it could not be measured, and why."""
    return StepMemory(peak_mib=Measure(reason=reason))


@contextlib.contextmanager
def measuring(config: RunConfig) -> Iterator[subprocess.Popen[str]]:
    """Measure one step of a configuration in a fresh process, which ends with the block.

    Weights to start from change nothing here and are left out: two processes would fetch them.
    """
    text = json.dumps(dataclasses.replace(config, pretrained="none").to_json())
    process = subprocess.Popen(
        python("-c", _CODE, text), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=environment(),
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            process.kill()


def result(process: subprocess.Popen[str]) -> StepMemory:
    """Wait for a process of `measuring` and return what it found."""
    said, _ = process.communicate()
    found = [line for line in said.splitlines() if line.startswith(_MARK)]
    if process.returncode == 0 and found:
        return StepMemory.loads(found[-1])
    if process.returncode < 0:
        return absent(
            f"the process that measured it was ended by signal {-process.returncode}, which "
            "happens where memory is short"
        )
    return absent(f"the process that measured it ended with exit code {process.returncode}")
