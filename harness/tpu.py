"""Opens a TPU, the one of this machine or a named one, or says why it cannot be had."""

from __future__ import annotations

import functools
import socket
from typing import Any

from harness.devices import LOCAL_TPU
from harness.errors import DeviceError
from harness.tf_keras import tf

_ANSWER_S = 10
"""How long to wait for a TPU's address; TensorFlow itself would wait for minutes."""


def sees_local_tpu() -> bool:
    """Tell whether TensorFlow itself finds a TPU in this machine; nothing is set up for that."""
    return bool(tf.config.list_physical_devices("TPU"))


def no_local_tpu() -> DeviceError:
    """Return the error for a machine without a TPU that TensorFlow can use."""
    return DeviceError(
        "TensorFlow must find a TPU in this machine, but found none. On a TPU VM install "
        "a TensorFlow made for TPUs (`tensorflow-tpu` with libtpu); elsewhere name the "
        "TPU with --devices tpu:NAME, or use another --strategy."
    )


@functools.cache
def open_tpu(name: str) -> Any:
    """Set up a TPU and return a strategy over all its cores; once per process.

    Args:
        name: "local", the name of a TPU in this Google Cloud project, or "grpc://HOST:PORT".

    Raises:
        DeviceError: there is no such TPU, or it does not answer.
    """
    resolver = _resolver(name)
    try:
        if name != LOCAL_TPU:
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        if name == LOCAL_TPU:
            raise no_local_tpu() from error
        raise DeviceError(
            f"The TPU {name!r} must start its cores, but failed: {_first_line(error)} End other "
            "programs that use it, or use another --strategy."
        ) from error


def _resolver(name: str) -> Any:
    """Return the resolver of a TPU whose every host accepts connections."""
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        hosts = resolver.cluster_spec().as_dict().get("worker", [])
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise DeviceError(
            f"The TPU {name!r} must be found by its name, but Google Cloud did not tell its "
            f"address: {_first_line(error)} See `gcloud compute tpus tpu-vm list` for the name, "
            "`pip install cloud-tpu-client`, or on the TPU VM itself use --devices tpu:local."
        ) from error
    for address in hosts:
        _check_answers(name, address)
    return resolver


def _check_answers(name: str, address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()
    except (OSError, ValueError) as error:
        raise DeviceError(
            f"The TPU {name!r} must answer at {address}, but does not: {_first_line(error)} Check "
            "that it runs and that this machine is in its network, or use another --strategy."
        ) from error


def _first_line(error: Exception) -> str:
    """Return the first line of an error's text as a sentence."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"{line.strip('<>').rstrip('.')}."
