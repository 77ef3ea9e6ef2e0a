"""`bench doctor`: what this machine has, what can be used on it and why not the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from harness import machine, mnist
from harness.console import console, note, quiet_stderr, waiting
from harness.devices import STRATEGIES
from harness.errors import BenchError, UsageError
from harness.record import Measure
from harness.sources import cache_dir, keras_dir
from harness.store import Store
from harness.tracking_uri import resolve_uri

if TYPE_CHECKING:
    from harness.health import Finding

Rows = Iterator[tuple[str, str, str]]


def doctor(
    *, peaks: bool, out: Path, tracking_uri: str | None, experiment: str, data_dir: Path | None
) -> None:
    """Print machine, devices, strategies, measured peaks and the state of what is kept.

    Args:
        peaks: measure them, which takes a few seconds for each device and data type.
        out: folder for all results.
        tracking_uri: MLflow store as given, or None.
        experiment: name in MLflow.
        data_dir: folder of MNIST's files as given, or None.

    Raises:
        BenchError: something keeps bench from working.
    """
    uri = resolve_uri(tracking_uri, Store(out).root)
    _print("machine", _machine())
    with waiting("loading TensorFlow ..."), quiet_stderr():
        from harness import strategy

        devices = _devices()
    _print("devices", ((name, text, "") for name, text in devices.items()))
    _print("strategies", _strategies(strategy))
    if peaks:
        _print("measured peaks", _peaks("gpu:0" if "gpu:0" in devices else "cpu:0"))
    faults = _print_health(Store(out), uri, experiment, data_dir)
    if faults:
        raise BenchError(f"{faults} of the above must be mended before bench can work.")
    note("bench can work here")


def _print(title: str, rows: Rows) -> None:
    """Print a heading and a line for each row, never broken: paths must stay whole."""
    table = list(rows)
    width = max(len(name) for name, _, _ in table)
    console.print(Text(title, style="bold"))
    for name, text, style in table:
        console.print(Text.assemble(f"  {name:<{width}}  ", (text, style)), soft_wrap=True)


def _machine() -> Rows:
    here = machine.fingerprint(strategy="", replicas=0, devices=(), threads=0)
    yield "system", here.system, ""
    yield "processor", f"{here.cpu_model}, {here.cpu_cores} cores for this process", ""
    governor = here.governor or "not told by this system"
    yield "clock governor", governor, ""
    yield "memory", f"{here.memory_gib:g} GiB for this process", ""
    gpus = ", ".join(f"{n} x {name}" for name, n in Counter(here.gpus).items())
    yield "GPUs", f"{gpus}, driver {here.driver}" if gpus else "none that nvidia-smi knows", ""
    packages = ", ".join(f"{name} {version}" for name, version in here.packages.items())
    yield "versions", f"Python {here.python}, {packages}", ""
    settings = ", ".join(f"{name}={value}" for name, value in here.thread_settings.items())
    yield "thread settings", settings or "no environment variable sets any", ""
    if here.git_commit:
        yield "source", f"commit {here.git_commit[:12]}{', changed' if here.git_dirty else ''}", ""


def _devices() -> dict[str, str]:
    """Return each device that TensorFlow sees with what it tells of it."""
    from harness.tf_keras import tf

    found = {}
    for device in tf.config.list_physical_devices():
        kind, number = device.device_type.lower(), device.name.rpartition(":")[2]
        details: dict[str, Any] = tf.config.experimental.get_device_details(device)
        texts = [str(details[key]) for key in ("device_name",) if key in details]
        if "compute_capability" in details:
            texts.append("compute capability {}.{}".format(*details["compute_capability"]))
        found[f"{kind}:{number}"] = ", ".join(texts) or "no details"
    if "cpu:0" in found:
        found["cpu:0"] = machine.cpu_model()
    return found


def _strategies(strategy: Any) -> Rows:
    for name in STRATEGIES:
        try:
            yield name, f"usable: {strategy.would_take(name)}", "green"
        except UsageError as error:
            yield name, f"not here: {error}", ""


def _peaks(device: str) -> Rows:
    from harness import peak

    for dtype in peak.DTYPES:
        with waiting(f"multiplying {dtype} matrices on {device} ..."), quiet_stderr():
            measure = peak.matrix_gflops(device, dtype)
        yield f"{dtype} on {device}", _peak_text(measure, "GFLOP/s", "matrix product"), ""
    with waiting(f"adding arrays on {device} ..."), quiet_stderr():
        measure = peak.memory_gb_per_s(device)
    yield f"memory of {device}", _peak_text(measure, "GB/s", "a += b on 256 MiB"), ""


def _peak_text(measure: Measure, unit: str, how: str) -> str:
    if measure.value is None:
        return f"absent, because {measure.reason}"
    spread = f"best of {len(measure.samples)}, slowest {min(measure.samples):,.3g}"
    return f"{measure.value:,.3g} {unit} ({how}; {spread})"


def _data(data_dir: Path | None) -> Finding:
    from harness.health import Finding

    try:
        at_hand = mnist.find(keras_dir()) or mnist.find(cache_dir())
        found = at_hand if data_dir is None else mnist.find_in_named(data_dir)
    except BenchError as error:
        return Finding(what="mnist", text=str(error), ok=False)
    if found is None:
        text = "not on this machine: it would be downloaded (11 MB), else `digits` is used"
        return Finding(what="mnist", text=text)
    return Finding(what="mnist", text=f"in {found.place}")


def _print_health(store: Store, uri: str, experiment: str, data_dir: Path | None) -> int:
    """Print how what is kept stands; return how many things keep bench from working."""
    with waiting("loading MLflow ..."):
        from harness.health import examine
    with waiting("asking the tracking store ..."):
        findings = [_data(data_dir), *examine(store, uri, experiment), *_sweeps(store)]
    _print("data and results", ((f.what, f.text, "" if f.ok else "red") for f in findings))
    return sum(not finding.ok for finding in findings)


def _sweeps(store: Store) -> Iterator[Finding]:
    """Yield a finding for each sweep or group that cannot be read."""
    from harness.health import Finding
    from sweeps.group import read_group
    from sweeps.study import load_table

    folder = store.root / "sweeps"
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    for name in names:
        try:
            if read_group(store.sweep_dir(name)) is None:
                load_table(store, name)
        except BenchError as error:
            yield Finding(what=f"sweep {name}", text=str(error), ok=False)
    if names:
        yield Finding(what="sweeps", text=f"{len(names)}; `bench status` says how they stand")
