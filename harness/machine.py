"""Where a run happens: hardware, system, packages and source, read without importing any of them.

Linux and macOS. What cannot be found out is said to be unknown or left out, never guessed.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import math
import os
import platform
import re
import resource
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness.record import TENSORFLOW_THREADS, Machine

PACKAGES = ("locbench", "tensorflow", "keras", "numpy", "mlflow", "optuna")
"""Distributions whose version can change a result or a record."""

THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY",
    "KMP_BLOCKTIME", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS", "TF_ENABLE_ONEDNN_OPTS", "TF_GPU_THREAD_MODE",
    "TF_GPU_THREAD_COUNT", "TF_XLA_FLAGS", "XLA_FLAGS", "CUDA_VISIBLE_DEVICES",
)  # fmt: skip
"""Environment variables by which OpenMP, MKL, XLA and TensorFlow choose threads and kernels."""

COMMAND_TIMEOUT_S = 10
"""No fingerprint is worth waiting for a hanging network file system."""


def fingerprint(
    *, strategy: str, replicas: int, devices: tuple[str, ...], threads: int, workers: int = 1
) -> Machine:
    """Describe this machine.

    Args:
        strategy: what was used, not what was asked for.
        replicas: copies of the model trained in step, those of all workers.
        devices: names of the devices used by this process.
        threads: threads per TensorFlow operation; 0 is one per core.
        workers: processes that train one model together.
    """
    commit, dirty = git_state(Path(__file__).parent)
    gpus, driver = nvidia_gpus()
    return Machine(
        host_digest=host_digest(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        cpu_model=cpu_model(),
        cpu_cores=cpu_cores(),
        memory_gib=memory_gib(),
        packages=package_versions(),
        strategy=strategy,
        replicas=replicas,
        devices=devices,
        threads=threads,
        workers=workers,
        git_commit=commit,
        git_dirty=dirty,
        governor=governor(),
        gpus=gpus,
        driver=driver,
        thread_settings=thread_settings(),
    )


def host_digest() -> str:
    """Return 12 hexadecimal digits that tell this host from others without naming it."""
    machine_id = _read(Path("/etc/machine-id")) or ""
    identity = f"{socket.gethostname()}\n{machine_id.strip()}"
    return hashlib.sha256(identity.encode()).hexdigest()[:12]


def cpu_model() -> str:
    """Return the processor's name as its maker writes it; the architecture if there is none."""
    if sys.platform == "darwin":
        name = _output("sysctl", "-n", "machdep.cpu.brand_string")
    else:
        # ARM kernels write no model name.
        found = re.search(r"^model name\s*:\s*(.+)$", _read(Path("/proc/cpuinfo")) or "", re.M)
        name = found[1] if found else None
    return (name or platform.processor() or platform.machine() or "unknown").strip()


def cpu_cores() -> int:
    """Return how many cores this process may use: affinity mask and container quota count."""
    if sys.platform == "linux":
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = _cpu_quota(_read(Path("/sys/fs/cgroup/cpu.max")))
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def governor(cpus: Path = Path("/sys/devices/system/cpu")) -> str | None:
    """Return what sets the clock of the cores, such as "performance"; None if nothing tells."""
    found = {
        text.strip()
        for path in cpus.glob("cpu[0-9]*/cpufreq/scaling_governor")
        if (text := _read(path))
    }
    return ", ".join(sorted(found)) or None


@functools.cache  # it takes up to a second, and a worker asks for each of its trials
def nvidia_gpus() -> tuple[tuple[str, ...], str | None]:
    """Return the names of all GPUs that NVIDIA's driver knows, and its version; else none."""
    told = _output("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    rows = [line.rpartition(", ") for line in (told or "").splitlines()]
    names = tuple(name.strip() for name, comma, _ in rows if comma)
    return names, rows[0][2].strip() if names else None


def thread_settings() -> dict[str, str]:
    """Return what decides how libraries use threads, see `harness.record.Machine`.

    TensorFlow's own threads are told if it is loaded; 0 stands for its default.
    """
    found = {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
    tensorflow: Any = sys.modules.get("tensorflow")
    if tensorflow is not None:
        threading = tensorflow.config.threading
        counts = (
            threading.get_intra_op_parallelism_threads(),
            threading.get_inter_op_parallelism_threads(),
        )
        found |= dict(zip(TENSORFLOW_THREADS, map(str, counts), strict=True))
    return found


def memory_gib() -> float:
    """Return the memory this process may use, in GiB to 0.1; a container's limit counts."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = (_read(Path("/sys/fs/cgroup/memory.max")) or "").strip()
    usable = min(physical, int(limit)) if limit.isdigit() else physical
    return round(usable / 2**30, 1)


def package_versions() -> dict[str, str]:
    """Return the version of each installed distribution of `PACKAGES`; nothing is imported."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def git_state(folder: Path) -> tuple[str | None, bool | None]:
    """Return the commit that a folder's files belong to, and whether tracked files differ from it.

    Both are None unless git tracks this very folder: an installed wheel may lie inside somebody
    else's work tree, whose commit says nothing of bench.
    """
    if not _git(folder, "ls-files", "--", "."):
        return None, None
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None, None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return commit, None if changes is None else bool(changes)


def peak_rss_mib() -> float:
    """Return the largest resident set of this process so far, in MiB."""
    # On Linux `ru_maxrss` survives exec: a worker would report the peak of whoever started it.
    found = re.search(r"^VmHWM:\s*(\d+) kB$", _read(Path("/proc/self/status")) or "", re.M)
    if found:
        return int(found[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024  # bytes there, KiB elsewhere


def resident_mib() -> float:
    """Return the resident set of this process in MiB; its peak where only that is told."""
    found = re.search(r"^VmRSS:\s*(\d+) kB$", _read(Path("/proc/self/status")) or "", re.M)
    return int(found[1]) / 1024 if found else peak_rss_mib()


def _cpu_quota(text: str | None) -> float | None:
    """Return the cores that a cgroup's `cpu.max` grants ("quota period" in µs, or "max")."""
    found = re.match(r"(\d+) (\d+)$", (text or "").strip())
    return int(found[1]) / int(found[2]) if found else None


def _git(folder: Path, *arguments: str) -> str | None:
    # Inside a git hook GIT_DIR points elsewhere; optional locks could disturb the user's own git.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("GIT_")
    }
    environment["GIT_OPTIONAL_LOCKS"] = "0"
    return _output("git", "-C", str(folder), *arguments, environment=environment)


def _output(*command: str, environment: dict[str, str] | None = None) -> str | None:
    """Return what a command prints, stripped; None if it is missing, fails or hangs."""
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=COMMAND_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip()


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
