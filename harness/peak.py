"""The most that a device gives, measured: matrix products and memory traffic.

A data sheet tells what a chip could do somewhere; these are this machine's own numbers, which
throughput can be held against. Each is the best of some samples: whatever disturbs a sample, such
as another program, makes it slower, never faster.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from harness.record import Measure
from harness.tf_keras import tf

DTYPES = ("float32", "bfloat16", "float16")

SAMPLES = 8

_LEAST_S = 0.02
"""A sample takes at least so long: a thousand times what it costs to start and time it."""

_PATIENCE_S = 5.0
"""A data type that the device only emulates is not worth longer."""

_FIRST_SIDE, _LAST_SIDE = 256, 16_384
_ARRAY_BYTES = 2**28  # larger than any cache

Clock = Callable[[], float]


def matrix_gflops(
    device: str, dtype: str, *, at_once: int = 1, clock: Clock = perf_counter
) -> Measure:
    """Return the speed of a square matrix product in GFLOP/s; 2 n^3 FLOP for side n.

    The side is doubled until a product takes long enough to be timed. GPUs that have it use TF32
    for float32, as they do in training.

    Args:
        device: "cpu:0" or "gpu:0".
        dtype: one of `DTYPES`.
        at_once: products side by side, for a process whose operations have a thread each: alone,
            a product would be the peak of one core.
        clock: seconds.
    """
    side, start = _FIRST_SIDE, clock()
    with tf.device(f"/{device}"):
        while True:
            product = _product(side, dtype, at_once)
            if product is None:
                return Measure(reason=f"{device} has no matrix product of {dtype}")
            product()  # the first one chooses a kernel
            seconds = _timed(product, clock)
            if seconds >= _LEAST_S or side >= _LAST_SIDE:
                break
            if clock() - start > _PATIENCE_S:
                break
            side *= 2
        times = [seconds]
        while len(times) < SAMPLES and clock() - start < _PATIENCE_S:
            times.append(_timed(product, clock))
    rates = tuple(2 * side**3 * at_once / seconds / 1e9 for seconds in times)
    return Measure(value=max(rates), samples=rates)


def memory_gb_per_s(device: str, *, clock: Clock = perf_counter) -> Measure:
    """Return the memory traffic of `a += b` in GB/s (1e9 bytes): both are read, one is written.

    The sum of STREAM (McCalpin 1995), on arrays of 256 MiB.

    Args:
        device: "cpu:0" or "gpu:0".
        clock: seconds.
    """
    with tf.device(f"/{device}"):
        b = tf.ones(_ARRAY_BYTES // 4)
        a = tf.Variable(b)

        def add() -> Any:
            return a.assign_add(b).read_value()[0].numpy()

        add()
        rates = tuple(3 * _ARRAY_BYTES / _timed(add, clock) / 1e9 for _ in range(SAMPLES))
    return Measure(value=max(rates), samples=rates)


def _product(side: int, dtype: str, at_once: int) -> Callable[[], Any] | None:
    """Return a function that multiplies and waits for the result; None if there is no kernel."""
    # Each has a matrix of its own: equal products would be one in a graph.
    matrices = [tf.ones((side, side), dtype) * tf.cast(k + 1, dtype) for k in range(at_once)]

    def corners() -> Any:
        return tf.stack([tf.matmul(matrix, matrix)[0, 0] for matrix in matrices])

    # Only in a graph do operations run side by side.
    call = tf.function(corners) if at_once > 1 else corners

    def product() -> Any:
        return call().numpy()

    try:
        product()
    except tf.errors.OpError:
        return None
    return product


def _timed(action: Callable[[], Any], clock: Clock) -> float:
    start = clock()
    action()
    return clock() - start
