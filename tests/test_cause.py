"""What an exception says of its cause, for real exceptions of TensorFlow and the system."""

from __future__ import annotations

import errno
from collections.abc import Callable

import keras
import pytest
import tensorflow as tf

from harness.cause import Cause, cause_of, memory_words
from harness.download import FetchError
from harness.errors import DataError, DivergedRun, PluginError, UsageError
from harness.plain_words import in_words


class XlaRuntimeError(RuntimeError):
    """As JAX's, which says by its text alone what happened."""


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (MemoryError(), "out_of_memory"),
        (tf.errors.ResourceExhaustedError(None, None, "OOM when"), "out_of_memory"),
        (tf.errors.InternalError(None, None, "CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
         "out_of_memory"),
        (XlaRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying"), "out_of_memory"),
        (DivergedRun("loss must be finite"), "diverged"),
        (PluginError("a backbone raised"), "plugin"),
        (tf.errors.UnavailableError(None, None, "gone"), "transient"),
        (tf.errors.AbortedError(None, None, "gone"), "transient"),
        (tf.errors.DeadlineExceededError(None, None, "late"), "transient"),
        (tf.errors.CancelledError(None, None, "stopped"), "transient"),
        (tf.errors.InternalError(None, None, "cuDNN launch failure"), "transient"),
        (OSError(errno.EIO, "Input/output error"), "transient"),
        (OSError(errno.ESTALE, "Stale file handle"), "transient"),
        (ConnectionResetError("reset by peer"), "transient"),
        (TimeoutError("timed out"), "transient"),
        (FetchError("a mirror did not answer"), "transient"),
        (tf.errors.InternalError(None, None, "an invariant broke"), None),
        (tf.errors.InvalidArgumentError(None, None, "out of memory bounds"), None),
        (OSError(errno.ENOENT, "No such file"), None),
        (OSError(errno.ENOSPC, "No space left on device"), None),
        (RuntimeError("out of memory of yesterday"), None),
        (UsageError("no such name"), None),
        (ValueError("shape"), None),
    ],
)  # fmt: skip
def test_causes(error: Exception, cause: Cause | None) -> None:
    assert cause_of(error) == cause


def test_what_an_error_was_raised_from_counts() -> None:
    def outer(inner: Exception, wrap: Callable[[str], Exception]) -> Cause | None:
        error = wrap("it failed")
        error.__cause__ = inner
        return cause_of(error)

    assert outer(MemoryError(), PluginError) == "out_of_memory"
    assert outer(OSError(errno.EIO, "io"), DataError) == "transient"
    assert outer(ValueError("no"), PluginError) == "plugin"


class Raising(keras.layers.Layer):
    """Raises while it is traced, as a plug-in does that builds something too large."""

    def call(self, x: object) -> object:
        raise MemoryError("no room for it")


class Huge(keras.layers.Layer):
    """Allocates 40 TB while it runs."""

    def call(self, x: object) -> object:
        return tf.reduce_mean(tf.fill([10**7, 10**6], tf.reduce_mean(x)))


def raised(layer: keras.layers.Layer) -> Exception:
    with pytest.raises(Exception) as info:  # noqa: PT011 - its class is what is asked
        tf.function(layer)(tf.ones([2, 2]))
    assert isinstance(info.value, Exception)
    return info.value


def test_real_lack_of_memory_is_told_in_a_line() -> None:
    error = raised(Huge())
    assert cause_of(error) == "out_of_memory"
    assert memory_words(error).startswith(
        "OOM when allocating tensor with shape[10000000,1000000]"
    )
    assert "\n" not in memory_words(error)
    assert in_words(error).startswith("ResourceExhaustedError: OOM when allocating tensor")
    traced = raised(Raising())
    assert cause_of(traced) == "out_of_memory"
    assert memory_words(traced).endswith("no room for it")


def test_what_a_graph_raised_is_told_in_a_line() -> None:
    def check(x: object) -> object:
        with tf.control_dependencies([tf.debugging.assert_less(x, 1.0, "too large")]):
            return tf.identity(x)

    with pytest.raises(tf.errors.InvalidArgumentError) as info:
        tf.function(check)(tf.ones([2, 2]))
    assert in_words(info.value).startswith("InvalidArgumentError: assertion failed: [too large]")
