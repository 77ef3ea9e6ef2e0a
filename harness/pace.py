"""How fast trials will train here: measured for seconds, in processes like a sweep's workers.

All measure at the same moment, as the workers of a sweep share a machine.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.child_python import environment, exit_text, last_words, python
from harness.config import RunConfig
from harness.errors import BenchError

BUDGET_S = 40.0
"""Once so much time has passed, no further network is measured."""

_PROBE = "import sys; from harness.pace_probe import tell; tell(sys.argv[1])"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What one network costs while all workers are busy; all times in seconds.

    Attributes:
        load_s: reading the data, which each run does anew.
        compile_s: tracing and compiling the steps, once for a network and worker.
        reset_s: new weights for a run.
        train_s: per image that is trained on, making its scene included.
        predict_s: per image that is predicted.
    """

    load_s: float
    compile_s: float
    reset_s: float
    train_s: float
    predict_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Paces:
    """What was measured.

    Attributes:
        start_s: until a worker has loaded its libraries.
        of: the paces of the networks that were measured, in the order asked for.
        asked: how many there were to measure.
    """

    start_s: float
    of: tuple[Pace, ...]
    asked: int

    def mean(self, name: str) -> float:
        """Return the mean of a field of `Pace` over the networks."""
        return statistics.fmean(getattr(pace, name) for pace in self.of)


def measure(
    configs: Sequence[RunConfig], environments: Sequence[Mapping[str, str]],
    data_dir: Path | None, *, silence_s: float,
) -> Paces:  # fmt: skip
    """Measure one network after the other, in as many processes at once as there are environments.

    Args:
        configs: one trial of each network; the first is measured, the others while time is left.
        environments: variables of each process.
        data_dir: folder that the user named for the data, or None.
        silence_s: a process that owes an answer for longer hangs.

    Raises:
        BenchError: a network or device cannot be used; the text is the process's own. Or a process
            hangs.
    """
    begun = time.perf_counter()
    job = {
        "configs": [config.to_json() for config in configs],
        "data_dir": str(data_dir.absolute()) if data_dir else None,
    }
    probes = [_Probe(job, extra, silence_s) for extra in environments]
    try:
        for probe in probes:
            probe.hear()
        start_s = time.perf_counter() - begun
        paces: list[Pace] = []
        for _ in configs:
            if paces and time.perf_counter() - begun > BUDGET_S:
                break
            paces.append(_together(probes))
    finally:
        for probe in probes:
            probe.end()
    return Paces(start_s=start_s, of=tuple(paces), asked=len(configs))


class _Probe:
    """A process that measures when it is told to."""

    def __init__(self, job: Mapping[str, Any], extra: Mapping[str, str], silence_s: float) -> None:
        self._silence_s = silence_s
        # Not a pipe, which a backbone that prints much would fill: it is read at the end only.
        self._log = tempfile.NamedTemporaryFile(prefix="bench-pace-")  # noqa: SIM115 - see `end`
        self._process = subprocess.Popen(
            python("-c", _PROBE, json.dumps(job)),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
            env=environment(extra),
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._asks, self._answers = self._process.stdin, self._process.stdout

    def ask(self) -> None:
        """Tell it to go on."""
        with contextlib.suppress(OSError):  # it died: hearing it tells why
            self._asks.write("\n")
            self._asks.flush()

    def hear(self) -> dict[str, float]:
        """Return its next answer.

        Raises:
            BenchError: it failed; the text is its own. Or it hangs.
        """
        begun = time.monotonic()
        late = threading.Timer(self._silence_s, self._process.kill)
        late.start()
        try:
            return self._answer()
        except EOFError as error:
            if time.monotonic() - begun < self._silence_s:
                reason = f"that failed: {error}"
            else:
                reason = (
                    f"a process said nothing for {self._silence_s:g} s. Wait longer with "
                    "--hang-after."
                )
            raise BenchError(f"A step must be timed to predict anything, but {reason}") from error
        finally:
            late.cancel()

    def end(self) -> None:
        """End it, whatever it is doing."""
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def _answer(self) -> dict[str, float]:
        """Return its next answer.

        Raises:
            BenchError: it says why there is none.
            EOFError: it ended without one; the text is its last word.
        """
        for line in self._answers:
            with contextlib.suppress(ValueError):  # what libraries print
                answer = json.loads(line)
                if isinstance(answer, dict) and "error" in answer:
                    raise BenchError(str(answer["error"]))
                if isinstance(answer, dict):
                    return answer
        code = self._process.wait()
        raise EOFError(last_words(Path(self._log.name)) or f"its process {exit_text(code)}")


def _together(probes: Sequence[_Probe]) -> Pace:
    """Let all get the next network ready, then all measure it at once; return the means."""
    parts = []
    for _ in ("get ready", "measure"):
        for probe in probes:
            probe.ask()
        parts.append([probe.hear() for probe in probes])
    found = [ready | measured for ready, measured in zip(*parts, strict=True)]
    fields = [each.name for each in dataclasses.fields(Pace)]
    return Pace(**{name: statistics.fmean(one[name] for one in found) for name in fields})
