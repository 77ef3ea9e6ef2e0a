"""Lets each strategy of a certificate measure in processes of its own, and ends them all.

TensorFlow takes devices once per process, and several workers are several processes by nature.
`harness.certify_probe` is what runs in them.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.cluster import free_ports
from harness.contender_specs import Spec
from harness.errors import BenchError
from harness.fresh_process import Fresh, start
from harness.observed import Observed

PROBE = "harness.certify_probe:tell"

TIME_LIMIT_S = 1800.0
"""For one strategy; the largest networks need minutes on a CPU."""

_PATIENCE_S = 20.0
"""When one of several workers fails, the others see only that somebody left: wait so long for one
that knows why."""

_PAUSE_S = 0.05


def observe(
    spec: Spec, request: Mapping[str, Any], *, gpus: Sequence[str], probe: str = PROBE,
    time_limit_s: float = TIME_LIMIT_S,
) -> list[Observed]:  # fmt: skip
    """Measure one strategy; return what each of its workers saw, the chief first.

    Args:
        spec: of the strategy.
        request: a `certify_probe.Request` as JSON values.
        gpus: those that may be used, as `visible_gpus` names them.
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
    spec: Spec, request: Mapping[str, Any], folder: Path, gpus: Sequence[str], probe: str
) -> Iterator[list[Fresh]]:
    """Start the processes of a strategy; none is left when the block ends, however it ends."""
    started: list[Fresh] = []
    try:
        for worker, extra in enumerate(_environments(spec, gpus)):
            text, name = json.dumps(request), f"worker-{worker}"
            started.append(start(probe, text, folder, name=name, extra=extra))
        yield started
    finally:
        for each in started:
            each.process.kill()  # all of them, before any is waited for
        for each in started:
            each.end()


def _wait(spec: Spec, started: Sequence[Fresh], time_limit_s: float) -> None:
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


def _failure(spec: Spec, started: Sequence[Fresh]) -> BenchError:
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


def _environments(spec: Spec, gpus: Sequence[str]) -> list[dict[str, str]]:
    """Return the variables of each worker: its place in the cluster, and a GPU of its own."""
    common = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    if spec.strategy != "multiworker":
        return [common]
    addresses = [f"127.0.0.1:{port}" for port in free_ports(spec.workers)]
    return [
        {
            **common,
            "TF_CONFIG": json.dumps(
                {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": k}}
            ),
            "CUDA_VISIBLE_DEVICES": gpus[k] if len(gpus) >= spec.workers else "-1",
        }
        for k in range(spec.workers)
    ]
