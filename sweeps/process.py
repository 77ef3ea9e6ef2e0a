"""One worker process, seen from the coordinator."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from harness.child_python import environment, exit_text, last_words, python
from harness.errors import BenchError
from harness.store import cannot_write
from sweeps.growth import COUNTERS, Growth, oom_kills, resident_mib
from sweeps.protocol import Job, Report, decode_report, encode


class LocalWorker:
    """A worker process, its two pipes and its log.

    Args:
        slot: its number in the pool.
        execute: "module:function", see `sweeps.worker`.
        log_dir: folder of the log.
        extra: variables added to this process's own.
        growth: judges its memory.
        oom_counters: where the kernel counts what it killed for lack of memory.

    Raises:
        StoreError: the log cannot be written.
        BenchError: no process can be had.
    """

    def __init__(
        self,
        slot: int,
        execute: str,
        log_dir: Path,
        extra: Mapping[str, str],
        *,
        growth: Growth,
        oom_counters: Sequence[Path] = COUNTERS,
    ) -> None:
        self.slot = slot
        self._growth, self._oom_counters = growth, oom_counters
        self._oom_kills = oom_kills(oom_counters)
        self.log = log_dir / f"worker-{slot}.log"
        self.was_ready = False
        self._unread = b""
        self._ended = False
        try:
            log = self.log.open("ab")
        except OSError as error:
            raise cannot_write(self.log, error) from error
        with log:
            self._log_start = log.tell()
            try:
                self._process = _spawn(execute, log.fileno(), extra)
            except OSError as error:  # the limit of processes, or of memory
                raise BenchError(
                    f"Worker {slot} cannot be started: {error.strerror or error}. Use fewer "
                    "--workers, or end other programs."
                ) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._jobs, self._answers = self._process.stdin, self._process.stdout
        os.set_blocking(self._answers.fileno(), False)
        self._waiting_since: float | None = time.monotonic()

    @property
    def answers(self) -> int:
        """Return the descriptor that becomes readable when the worker said something."""
        return self._answers.fileno()

    def say(self, message: bytes) -> None:
        """Send a message. If the worker is dead, `read` will tell; that is no error here."""
        self._waiting_since = time.monotonic()
        with suppress(OSError):
            self._jobs.write(message)

    def begin(self, job: Job) -> None:
        """Send a job."""
        self._oom_kills = oom_kills(self._oom_counters)
        self.say(encode("job", **job))

    def forgive(self, seconds: float) -> None:
        """Leave seconds out of the time for which an answer has been due."""
        if self._waiting_since is not None:
            self._waiting_since = min(time.monotonic(), self._waiting_since + seconds)

    def overgrown(self) -> str | None:
        """Say in words why its memory, after a job, asks for a new worker; None if it does not."""
        return self._growth.note(resident_mib(self._process.pid))

    def silent_s(self) -> float:
        """Return for how many seconds an answer of the worker has been due."""
        return 0.0 if self._waiting_since is None else time.monotonic() - self._waiting_since

    def read(self) -> tuple[list[Report], bool]:
        """Return what the worker said since last time, and whether it is dead.

        Raises:
            ValueError: it said something that is no message.
        """
        # Asked before reading, so that the last words of a dead process are not missed. The end
        # of the stream alone does not do: a child that it forked may hold the pipe open.
        dead = self._process.poll() is not None
        *lines, self._unread = (self._unread + self._bytes()).split(b"\n")
        reports = [decode_report(self.slot, line) for line in lines]
        if reports:
            self._waiting_since = None
            self.was_ready = True
        return reports, dead or self._ended

    def hang_up(self) -> None:
        """Close the worker's standard input, which tells it to end at once."""
        with suppress(OSError):
            self._jobs.close()

    def end(self, patience_s: float) -> None:
        """Wait so long for the process to end by itself, then kill it and its children."""
        if not self._ended:
            self.hang_up()  # one that is ending keeps its own exit code
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_s)
        self.hang_up()
        with suppress(ProcessLookupError, PermissionError):
            # Also when it has ended: children that it left behind are in its group.
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._answers.close()

    def lacked_memory(self) -> bool:
        """Tell whether it was killed while the kernel killed for lack of memory.

        That is all that can be told: nothing says which process it was.
        """
        killed = self._process.returncode == -signal.SIGKILL
        return killed and oom_kills(self._oom_counters) > self._oom_kills

    def obituary(self, fault: str | None) -> str:
        """Return in words how the worker ended, with the last line of its log."""
        how = fault or exit_text(self._process.returncode)
        if fault is None and self.lacked_memory():
            how += ", as the kernel does for lack of memory,"
        words = last_words(self.log, self._log_start)
        return f"{how}, with the last words {words!r}" if words else f"{how}, without a word"

    def _bytes(self) -> bytes:
        chunks = []
        self._ended = False
        while True:
            try:
                chunk = os.read(self._answers.fileno(), 65536)
            except BlockingIOError:
                break
            if not chunk:
                self._ended = True
                break
            chunks.append(chunk)
        return b"".join(chunks)


def _spawn(execute: str, log: int, extra: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        python("-m", "sweeps.worker", str(os.getpid()), execute),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        bufsize=0,
        env=environment(extra),
        start_new_session=True,  # its own group: Ctrl-C is the coordinator's affair
    )
