"""Lets each strategy of a certificate measure in processes of its own, and ends them all.

TensorFlow takes devices once per process, and several workers are several processes by nature.
`harness.certify_probe` is what runs in them.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.contender_specs import Spec
from harness.errors import BenchError, UsageError
from harness.observed import Observed

PROBE = "harness.certify_probe:tell"

TIME_LIMIT_S = 1800.0
"""For one strategy; the largest networks need minutes on a CPU."""

_PATIENCE_S = 20.0
"""When one of several workers fails, the others see only that somebody left: wait so long for one
that knows why."""

_PAUSE_S = 0.05
_LAST_WORDS = 300

_CODE = """
import importlib, sys
module, function = sys.argv[1].split(":")
getattr(importlib.import_module(module), function)(*sys.argv[2:])
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Started:
    process: subprocess.Popen[bytes]
    to: Path
    log: Path

    @property
    def done(self) -> bool:
        """Return whether the result is there."""
        return self.to.exists()

    @property
    def failed(self) -> bool:
        """Return whether the process ended without a result."""
        return self.process.poll() is not None and not self.done

    def reason(self) -> BenchError | None:
        """Return the error that the process wrote down; None if it wrote none."""
        try:
            code, text = json.loads(Path(f"{self.to}.error").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return UsageError(text) if code == UsageError.exit_code else BenchError(text)

    def last_words(self) -> str:
        """Return how it ended, with the last line of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        words = next((line for line in reversed(lines) if line.strip()), "")[:_LAST_WORDS]
        how = f"ended with exit code {self.process.returncode}"
        return f"{how}, with the last words {words!r}" if words else f"{how}, without a word"


def observe(
    spec: Spec, request: Mapping[str, Any], *, gpus: int, probe: str = PROBE,
    time_limit_s: float = TIME_LIMIT_S,
) -> list[Observed]:  # fmt: skip
    """Measure one strategy; return what each of its workers saw, the chief first.

    Args:
        spec: of the strategy.
        request: a `certify_probe.Request` as JSON values.
        gpus: GPUs of this machine.
        probe: "module:function" that runs in the processes, given the request and a file to write.
        time_limit_s: after so long all are ended.

    Raises:
        UsageError: a process said that the request is wrong.
        BenchError: a process failed, or the time is over.
    """
    with tempfile.TemporaryDirectory(prefix="bench-certify-") as name:
        folder = Path(name)
        with _running(spec, request, folder, gpus, probe) as started:
            _wait(spec, started, time_limit_s)
            return [Observed.load(each.to) for each in started]


@contextlib.contextmanager
def _running(
    spec: Spec, request: Mapping[str, Any], folder: Path, gpus: int, probe: str
) -> Iterator[list[_Started]]:
    """Start the processes of a strategy; none is left when the block ends, however it ends."""
    started: list[_Started] = []
    try:
        for worker, extra in enumerate(_environments(spec, gpus)):
            to, log = folder / f"worker-{worker}.npz", folder / f"worker-{worker}.log"
            process = _spawn([probe, json.dumps(request), str(to)], extra, log)
            started.append(_Started(process=process, to=to, log=log))
        yield started
    finally:
        for each in started:
            # Not SIGTERM, which TensorFlow's notifier of preemption swallows in a worker.
            each.process.kill()
        for each in started:
            with each.process:
                each.process.wait()


def _spawn(
    arguments: Sequence[str], extra: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start a process that finds modules where this one does, and ends when this one does."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _CODE, *arguments],
            stdin=subprocess.PIPE, stdout=file, stderr=file,
            env={**os.environ, "PYTHONPATH": path, **extra},
            start_new_session=True,  # Ctrl-C is this process's affair
        )  # fmt: skip


def _wait(spec: Spec, started: Sequence[_Started], time_limit_s: float) -> None:
    """Wait until every result is there.

    Raises:
        BenchError: a process failed, or the time is over.
    """
    deadline = time.monotonic() + time_limit_s
    while not all(each.done for each in started):
        if any(each.failed for each in started):
            raise _failure(spec, started)
        if time.monotonic() > deadline:
            late = [str(k) for k, each in enumerate(started) if not each.done]
            raise BenchError(
                f"`{spec.text}` must measure within {time_limit_s:.0f} s, but worker "
                f"{', '.join(late)} did not. Use fewer --steps or a smaller --global-batch-size."
            )
        time.sleep(_PAUSE_S)


def _failure(spec: Spec, started: Sequence[_Started]) -> BenchError:
    """Return the error of the worker that knows why; of the first that ended if none does."""
    first = next(k for k, each in enumerate(started) if each.failed)
    until = time.monotonic() + (_PATIENCE_S if len(started) > 1 else 0.0)
    while True:
        for each in started:
            reason = each.reason()
            if reason is not None:
                return type(reason)(f"`{spec.text}`: {reason}")
        if time.monotonic() > until or all(each.process.poll() is not None for each in started):
            break
        time.sleep(_PAUSE_S)
    return BenchError(f"`{spec.text}`: worker {first} {started[first].last_words()}.")


def _environments(spec: Spec, gpus: int) -> list[dict[str, str]]:
    """Return the variables of each worker: its place in the cluster, and a GPU of its own."""
    common = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    if spec.strategy != "multiworker":
        return [common]
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(spec.workers)]
    return [
        {
            **common,
            "TF_CONFIG": json.dumps(
                {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": k}}
            ),
            "CUDA_VISIBLE_DEVICES": str(k) if gpus >= spec.workers else "-1",
        }
        for k in range(spec.workers)
    ]


def _free_ports(count: int) -> list[int]:
    """Return ports of the loopback interface that nobody listened on just now."""
    with contextlib.ExitStack() as held:
        ports = []
        for _ in range(count):
            door = held.enter_context(socket.socket())
            door.bind(("127.0.0.1", 0))
            ports.append(int(door.getsockname()[1]))
        return ports
