"""`bench launch`: the workers of a cluster that are on this machine, as `bench run` each."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from harness.child_python import environment, python
from harness.cluster import VARIABLE, Address, Cluster, control_address, free_ports, parse_hosts
from harness.cmd_cluster import LAUNCHER
from harness.config import RunConfig
from harness.console import note, say
from harness.devices import visible_gpus
from harness.errors import InterruptedRun, UsageError
from harness.options import check_workers

END_S = 60.0
"""How long workers get to end in good order: each kills its training at once, but the chief may
be sending its record to MLflow."""

LINGER_S = 120.0
"""How long one may outlive another that failed. They end within seconds of each other; after that
the chief sends its record, and one that is stopped would stay for ever."""

MOST_WORKERS = 64
"""More on one machine are a slip of the finger."""

_BENCH = "from harness.cli import main; main()"
_POLL_S = 0.2


def launch(
    config: RunConfig,
    *,
    hosts: str | None,
    local_workers: int | None,
    control_port: int | None,
    options: Sequence[str],
    chief_options: Sequence[str],
) -> None:
    """Start the workers that are on this machine and wait for them; exit as the chief does.

    Args:
        config: what to run, to be checked before anything starts.
        hosts: addresses of all workers, with commas between; or None.
        local_workers: how many there are if all are on this machine; or None.
        control_port: where the chief listens for the others; None for the default.
        options: of `bench run`, for each worker.
        chief_options: those for the chief alone, such as where MLflow is.

    Raises:
        UsageError: not one of `hosts` and `local_workers` is given, or it names no cluster here.
        SystemExit: always otherwise; the code is that of the chief, or the worst of those here.
    """
    if (hosts is None) == (local_workers is None):
        raise UsageError(
            "Either --local-workers or --hosts must say which workers there are: "
            "`--local-workers 2`, or `--hosts a:2222,b:2222`."
        )
    if hosts is not None:
        cluster = Cluster(workers=parse_hosts(hosts), index=0)
        control_address(cluster, control_port)
        here = _here(cluster)
    else:
        cluster, control_port = _local(local_workers or 0, control_port)
        here = list(range(len(cluster.workers)))
    check_workers(config, len(cluster.workers))
    port = [] if control_port is None else ["--control-port", str(control_port)]
    common = ["run", "--strategy", "multiworker", *options, *port]
    commands = [[*common, *chief_options], *([common] * (len(cluster.workers) - 1))]
    _say_elsewhere(cluster, here, commands)
    sys.exit(_codes(cluster, here, commands))


def _here(cluster: Cluster) -> list[int]:
    """Return the workers that are on this machine."""
    here = [i for i, address in enumerate(cluster.workers) if address.is_here()]
    if not here:
        names = ", ".join(sorted({address.host for address in cluster.workers}))
        raise UsageError(
            f"One of --hosts must be this machine, but it is none of {names}. Run it on one of "
            "them, or name this machine as the others know it."
        )
    return here


def _local(count: int, control_port: int | None) -> tuple[Cluster, int]:
    """Return a cluster on free ports of this machine, and a free control port."""
    if not 2 <= count <= MOST_WORKERS:
        raise UsageError(
            f"--local-workers must be 2 to {MOST_WORKERS}, got {count}. For one use `bench run`."
        )
    *ports, control = free_ports(count + 1)
    workers = tuple(Address(host="127.0.0.1", port=port) for port in ports)
    return Cluster(workers=workers, index=0), control_port or control


def _say_elsewhere(
    cluster: Cluster, here: Sequence[int], commands: Sequence[Sequence[str]]
) -> None:
    """Say what to type on the other machines."""
    for index, address in enumerate(cluster.workers):
        if index not in here:
            note(f"on {address.host}, for {cluster.name(index)}, type:")
            command = shlex.join(["bench", *commands[index]])
            note(f"  {VARIABLE}={shlex.quote(cluster.tf_config(index))} {command}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Worker:
    """A worker on this machine."""

    index: int
    process: subprocess.Popen[str]
    reader: threading.Thread | None


def _codes(cluster: Cluster, here: Sequence[int], commands: Sequence[Sequence[str]]) -> int:
    """Run the workers on this machine; return the exit code for all."""
    interrupted = False
    with _ended_at_last() as workers:
        try:
            for place, index in enumerate(here):
                gpus = _share_of_gpus(place, len(here))
                workers.append(_started(cluster, index, commands[index], gpus))
            _wait(cluster, workers)
        except KeyboardInterrupt:
            interrupted = True
            _interrupt(workers)
        for worker in workers:
            if worker.reader is not None:
                worker.reader.join()
    codes = {worker.index: worker.process.returncode for worker in workers}
    for index, code in codes.items():
        if interrupted and code == -signal.SIGTERM:
            # Ours, which came before Python could take it.
            say(f"Interrupted: {cluster.name(index)} had not begun")
            codes[index] = InterruptedRun.exit_code
        elif code < 0:
            say(f"{cluster.name(index)} was killed by signal {-code}")
    # The chief's, if it is here.
    return max(1 if code < 0 else code for i, code in codes.items() if i == 0 or 0 not in codes)


def _wait(cluster: Cluster, workers: Sequence[_Worker], linger_s: float = LINGER_S) -> None:
    """Wait until all have ended; kill those that do not although another one has failed."""
    failed_s = None
    while living := [worker for worker in workers if worker.process.poll() is None]:
        if failed_s is None and any(worker.process.returncode for worker in workers):
            failed_s = time.monotonic()
        if failed_s is not None and time.monotonic() - failed_s > linger_s:
            for worker in living:
                say(f"{cluster.name(worker.index)} outlived the others by {linger_s:g} s: killed")
                worker.process.kill()
                worker.process.wait()
        time.sleep(_POLL_S)


@contextlib.contextmanager
def _ended_at_last() -> Iterator[list[_Worker]]:
    """Yield a list of workers; those that live on at the end are killed."""
    workers: list[_Worker] = []
    try:
        yield workers
    finally:
        for worker in workers:
            if worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()


def _interrupt(workers: Sequence[_Worker]) -> None:
    """Ask every worker to end, and wait until they have; a second Ctrl-C waits no longer."""
    for worker in workers:
        worker.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + END_S
    while time.monotonic() < deadline and any(w.process.poll() is None for w in workers):
        time.sleep(_POLL_S)


def _started(
    cluster: Cluster, index: int, arguments: Sequence[str], gpus: Mapping[str, str]
) -> _Worker:
    """Start a worker; the chief has the screen, the others' lines are marked."""
    mine = {VARIABLE: cluster.tf_config(index), LAUNCHER: str(os.getpid())}
    chief = index == 0
    process = subprocess.Popen(
        python("-c", _BENCH, *arguments),
        stdin=subprocess.DEVNULL,
        stdout=None if chief else subprocess.PIPE,
        stderr=None if chief else subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment({**gpus, **mine}),
        start_new_session=True,  # Ctrl-C comes here first, and is passed on once
    )
    if process.stdout is None:
        return _Worker(index=index, process=process, reader=None)
    reader = threading.Thread(target=_repeat, args=(index, process.stdout), daemon=True)
    reader.start()
    return _Worker(index=index, process=process, reader=reader)


def _repeat(index: int, lines: IO[str]) -> None:
    for line in lines:
        note(f"[worker {index}] {line.rstrip()}")


def _share_of_gpus(place: int, workers: int) -> dict[str, str]:
    """Return the variables that give each of several workers on this machine GPUs of its own.

    With fewer GPUs than workers all train on the CPU: two processes cannot share one in step.
    """
    gpus = visible_gpus()
    if not gpus or workers == 1:
        return {}
    share = len(gpus) // workers
    mine = gpus[place * share : (place + 1) * share]
    return {"CUDA_VISIBLE_DEVICES": ",".join(mine) or "-1"}
