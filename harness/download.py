"""Fetch files from mirrors: bounded in time whatever the network does, checked, atomic."""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from harness.errors import DataError
from harness.store import file_digest, write_atomically

_CHUNK_BYTES = 1 << 16


class FetchError(DataError):
    """No mirror delivered; the text says what each of them did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file on a mirror: its address, its size in bytes and its SHA-256 in hexadecimal."""

    url: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """Return the last part of the address, the file's name on disk."""
        return self.url.rpartition("/")[2]

    @property
    def host(self) -> str:
        """Return the mirror's name."""
        return urllib.parse.urlsplit(self.url).netloc


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to try.

    Attributes:
        attempts: rounds over the mirrors, at least 1.
        answer_s: seconds that a mirror may stay silent, the look-up of its name included.
        total_s: seconds for everything.
        backoff_s: pause in seconds before the second round; it doubles for each further one.
    """

    attempts: int
    answer_s: float
    total_s: float
    backoff_s: float


class _MirrorError(Exception):
    """One mirror failed in one attempt; asking again makes no sense if it is `lasting`."""

    def __init__(self, text: str, *, lasting: bool = False) -> None:
        super().__init__(text)
        self.lasting = lasting


def fetch(mirrors: Sequence[Sequence[RemoteFile]], folder: Path, patience: Patience) -> None:
    """Bring all files of the first mirror that delivers them into a folder.

    Files that already lie there with the right checksum are not fetched again.

    Raises:
        FetchError: no mirror delivered in time.
        StoreError: the folder cannot be written.
    """
    deadline = time.monotonic() + patience.total_s
    failures: dict[str, _MirrorError] = {}
    for attempt in range(patience.attempts):
        if attempt:
            pause = patience.backoff_s * 2 ** (attempt - 1)
            time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
        for files in mirrors:
            host = files[0].host
            known = failures.get(host)
            # When time is up, what a mirror did is worth more than "no time left".
            if known and (known.lasting or time.monotonic() >= deadline):
                continue
            try:
                _fetch_all(files, folder, patience.answer_s, deadline)
            except _MirrorError as failure:
                failures[host] = failure
            else:
                return
    raise FetchError("; ".join(f"{host}: {failure}" for host, failure in failures.items()))


def _fetch_all(
    files: Sequence[RemoteFile], folder: Path, answer_s: float, deadline: float
) -> None:
    for remote in files:
        path = folder / remote.name
        if not (path.is_file() and file_digest(path) == remote.sha256):
            write_atomically(path, _download(remote, answer_s, deadline))


def _download(remote: RemoteFile, answer_s: float, deadline: float) -> bytes:
    """Return the content of a remote file with the right size and checksum, in time."""
    transfer = _Transfer(remote, answer_s)
    patience_s = min(answer_s, deadline - time.monotonic())
    if patience_s <= 0:
        raise _MirrorError("no time left")
    transfer.start()
    try:
        if not transfer.answered.wait(patience_s):
            raise _MirrorError(f"no answer in {patience_s:.1f} s")
        transfer.join(max(0.0, deadline - time.monotonic()))
        if transfer.is_alive():
            raise _MirrorError(f"too slow, {transfer.received} of {remote.size} bytes in time")
    finally:
        transfer.abandoned.set()
    if transfer.failure is not None:
        raise transfer.failure
    return _checked(bytes(transfer.content), remote)


def _checked(content: bytes, remote: RemoteFile) -> bytes:
    if len(content) != remote.size:
        raise _MirrorError(f"sent {len(content)} instead of {remote.size} bytes")
    if hashlib.sha256(content).hexdigest() != remote.sha256:
        # Right size and wrong content is no accident of the line: it would come again.
        raise _MirrorError("sent a file with the wrong checksum", lasting=True)
    return content


class _Transfer(Thread):
    """One download in a thread of its own.

    The look-up of a host name takes no time-out and can hang for a minute where the network
    swallows packets. A daemon thread can be left behind; it keeps no process alive.
    """

    def __init__(self, remote: RemoteFile, answer_s: float) -> None:
        super().__init__(name=f"download {remote.name}", daemon=True)
        self.answered, self.abandoned = Event(), Event()
        self.content = bytearray()
        self.failure: _MirrorError | None = None
        self._remote, self._answer_s = remote, answer_s

    @property
    def received(self) -> int:
        """Return how many bytes have come so far."""
        return len(self.content)

    def run(self) -> None:
        """Download; end in `content` or in `failure`."""
        try:
            self._get()
        except urllib.error.HTTPError as error:
            with error:
                lasting = 400 <= error.code < 500 and error.code not in (408, 425, 429)
                self.failure = _MirrorError(f"HTTP {error.code}", lasting=lasting)
        except (OSError, http.client.HTTPException) as error:
            self.failure = _MirrorError(_reason(error))
        finally:
            self.answered.set()

    def _get(self) -> None:
        request = urllib.request.Request(self._remote.url, headers={"User-Agent": "locbench"})
        with urllib.request.urlopen(request, timeout=self._answer_s) as response:
            self.answered.set()
            # read1 returns what has come, so a drip of bytes cannot outlast `abandoned` for long.
            while self.received <= self._remote.size and not self.abandoned.is_set():
                chunk = response.read1(_CHUNK_BYTES)
                if not chunk:
                    return
                self.content += chunk


def _reason(error: Exception) -> str:
    """Return an error of the network in a few words."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    text = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return text or type(cause).__name__
