"""Why a run failed, in a word for programs: what is tried again, and how, depends on it.

Exceptions are told by the names of their classes, so that nobody imports TensorFlow to ask.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from typing import Literal, get_args

from harness.plain_words import in_words

Cause = Literal["diverged", "out_of_memory", "plugin", "transient", "worker_died"]
"""diverged: NaN or infinite numbers; plugin: a backbone or head raised while it was built;
transient: the same run may go through at another time; worker_died: its process did not."""

CAUSES = (None, *get_args(Cause))
"""What `RunRecord.cause` may be; None is any other failure, and every run that did not fail."""

_MEMORY_CLASSES = {"MemoryError", "ResourceExhaustedError"}
_MEMORY_WORDS = re.compile(
    r"MemoryError|ResourceExhaustedError|RESOURCE_EXHAUSTED|out of memory|OUT_OF_MEMORY"
    r"|failed to allocate|ALLOC_FAILED"
)

_WRAPPERS = {"InternalError", "UnknownError", "StagingError", "XlaRuntimeError", "JaxRuntimeError"}
"""Classes in which TensorFlow, XLA and autograph may wrap an error that only their text names."""

_TRANSIENT_CLASSES = {
    "AbortedError", "CancelledError", "DeadlineExceededError", "UnavailableError",
    "ConnectionError", "TimeoutError", "FetchError",
}  # fmt: skip
_TRANSIENT_NUMBERS = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETDOWN}
_GPU_WORDS = re.compile(r"cuda|cudnn|cublas|nccl", re.IGNORECASE)


def cause_of(error: BaseException) -> Cause | None:
    """Return what an exception, or one that it was raised from, says of the cause; None if little.

    Lack of memory comes first: a GPU that has run out of it says so as an internal error.
    """
    links = list(_links(error))
    if any(_lacks_memory(link) for link in links):
        return "out_of_memory"
    names = _names(error)
    if "DivergedRun" in names:
        return "diverged"
    if any(_may_pass(link) for link in links):
        return "transient"
    return "plugin" if "PluginError" in names else None


def memory_words(error: BaseException) -> str:
    """Return the words, in a line, by which an exception says that memory ran out."""
    for link in _links(error):
        lines = [line.strip() for line in str(link).splitlines()]
        told = [line for line in lines if re.match(r"OOM when|.*out of memory", line, re.I)]
        if told:
            return told[0].rstrip(".")
    return in_words(error)


def _links(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from, outermost first."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__


def _names(error: BaseException) -> set[str]:
    return {cls.__name__ for cls in type(error).__mro__}


def _lacks_memory(error: BaseException) -> bool:
    names = _names(error)
    if names & _MEMORY_CLASSES:
        return True
    return bool(names & _WRAPPERS and _MEMORY_WORDS.search(str(error)))


def _may_pass(error: BaseException) -> bool:
    names = _names(error)
    if names & _TRANSIENT_CLASSES:
        return True
    if isinstance(error, OSError):
        return error.errno in _TRANSIENT_NUMBERS
    internal = names & {"InternalError", "XlaRuntimeError", "JaxRuntimeError"}
    return bool(internal and _GPU_WORDS.search(str(error)))
