"""`bench certify`: whether strategies train the same network, measured, judged and kept."""

from __future__ import annotations

import dataclasses
import re
import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from rich.table import Table
from rich.text import Text

from harness import certify_processes
from harness.agreement import CONTROLS, evaluation_sizes
from harness.certificate import Certificate, Contender, Quantity
from harness.cmd_run import opened_tracker
from harness.config import RunConfig
from harness.console import console, note, say, waiting
from harness.contender_specs import Spec
from harness.data import load
from harness.errors import BenchError, TrackingError, UsageError
from harness.judging import as_reference, judge
from harness.observed import Observed
from harness.store import Store, write_atomically
from harness.tracking_uri import resolve_uri


def certify(
    config: RunConfig,
    specs: tuple[Spec, ...],
    *,
    steps: int,
    gpus: Sequence[str],
    out: Path,
    tracking_uri: str | None,
    experiment: str,
    data_dir: Path | None,
) -> None:
    """Measure every strategy in processes of its own, compare it with the first, keep the result.

    Args:
        config: what to train; `global_batch_size` is set, `strategy` and `devices` are not.
        specs: the strategies, the reference first.
        steps: of the loss path.
        gpus: those that may be used, as `visible_gpus` names them.
        out: folder for all results.
        tracking_uri: MLflow store as given, or None.
        experiment: name in MLflow.
        data_dir: folder of MNIST's files as given, or None.

    Raises:
        UsageError: something does not fit.
        BenchError: a quantity disagrees; the text names the first. Or a process failed.
    """
    store = Store(out)
    uri = resolve_uri(tracking_uri, store.root)
    store.check_writable()
    data = load(config, data_dir, say=say)
    config = dataclasses.replace(config, dataset=data.dataset)
    _check_enough(config, data.n_train)
    with opened_tracker(uri, store, experiment) as tracker:
        certificate = _measured(config, specs, steps, gpus, data_dir)
        path = store.certificates / f"{certificate.name}.json"
        write_atomically(path, certificate.dumps().encode())
        _show(certificate)
        note(f"certificate {path}")
        with waiting("sending the certificate to MLflow ..."):
            try:
                tracker.log_certificate(path)
            except TrackingError as error:
                say(f"The certificate is kept, and `bench sync` sends it to MLflow: {error}")
    _conclude(certificate)


def _check_enough(config: RunConfig, n_train: int) -> None:
    assert config.global_batch_size is not None
    needed = evaluation_sizes(config.global_batch_size)[-1]
    if needed > n_train:
        raise UsageError(
            f"A certificate evaluates 3 global batches and 5 examples more, {needed:,} in all, "
            f"but there are {n_train:,} training examples. Use --global-batch-size "
            f"{max(1, (n_train - 5) // 3)} or less."
        )


def _measured(
    config: RunConfig, specs: tuple[Spec, ...], steps: int, gpus: Sequence[str],
    data_dir: Path | None,
) -> Certificate:  # fmt: skip
    started, start = datetime.now(UTC), perf_counter()
    seen: list[list[Observed]] = []
    for place, spec in enumerate(specs):
        request: dict[str, Any] = {
            "config": _config_of(config, spec).to_json(),
            "steps": steps,
            "controls": 0 if place else CONTROLS,
            "data_dir": str(data_dir) if data_dir else None,
        }
        with waiting(f"measuring {spec.text} ({place + 1} of {len(specs)}) ..."):
            seen.append(certify_processes.observe(spec, request, gpus=gpus))
        note(f"measured {spec.text} on {', '.join(seen[place][0].machine.devices)}")
    reference = seen[0][0]
    assert reference.noise is not None, "it was asked for control runs"
    return Certificate(
        name=_name(config, started),
        started_at=started.isoformat(timespec="milliseconds"),
        duration_s=round(perf_counter() - start, 3),
        config=_config_of(config, specs[0]),
        steps=steps,
        controls=reference.noise.controls,
        silenced=reference.silenced,
        data=reference.data,
        machine=reference.machine,
        reference=as_reference(specs[0], reference),
        contenders=tuple(
            judge(spec, each, reference) for spec, each in zip(specs[1:], seen[1:], strict=True)
        ),
    )


def _config_of(config: RunConfig, spec: Spec) -> RunConfig:
    return dataclasses.replace(config, strategy=spec.strategy, devices=spec.devices)


def _name(config: RunConfig, started: datetime) -> str:
    backbone = re.sub(r"[^\w.-]+", "-", config.backbone)
    return f"{started:%Y%m%d-%H%M%S}-{backbone}-{secrets.token_hex(3)}"


def _show(certificate: Certificate) -> None:
    for contender in certificate.contenders:
        console.print(quantity_table(certificate, contender))
    console.print(speed_table(certificate))
    for line in remarks(certificate):
        note(line)


def quantity_table(certificate: Certificate, contender: Contender) -> Table:
    """Return every quantity of a strategy beside the reference."""
    title = f"{contender.spec} against {certificate.reference.spec}: {certificate.config.backbone}"
    table = Table(title=Text(title), title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("quantity", no_wrap=True)
    for column in (certificate.reference.spec, contender.spec, "difference", "limit", "used"):
        table.add_column(Text(column), justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for each in contender.quantities:
        mark = "[green]agrees[/green]" if each.agrees else "[red]DIFFERS[/red]"
        used = "" if each.used is None else f"{each.used:.0%}"
        values = ["" if v is None else f"{v:.4g}" for v in (each.reference, each.found)]
        apart = "none" if each.difference is None else f"{each.difference:.2g}"
        cells = [*values, apart, f"{each.limit:.2g}", used]
        table.add_row(each.name, *cells, mark)
    return table


def speed_table(certificate: Certificate) -> Table:
    """Return throughput, scaling efficiency and verdict of every strategy."""
    table = Table(title="speed, not judged", title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("strategy")
    for column in ("replicas", "images/s", "of samples", "efficiency"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for each in (certificate.reference, *certificate.contenders):
        samples = [f"{sample:,.0f}" for sample in sorted(each.images_per_s.samples)]
        efficiency = certificate.efficiency(each)
        table.add_row(
            Text(each.spec), str(each.replicas), f"{each.images_per_s.value:,.0f}",
            f"{samples[0]} to {samples[-1]}", "" if efficiency is None else f"{efficiency:.0%}",
            verdict(certificate, each),
        )  # fmt: skip
    return table


def verdict(certificate: Certificate, contender: Contender) -> str:
    """Return the verdict on one strategy in a word or two."""
    if contender is certificate.reference:
        return "reference"
    return "agrees" if contender.disagreement is None else "differs"


def remarks(certificate: Certificate) -> Iterator[str]:
    """Yield what a reader of the tables has to know."""
    if certificate.silenced:
        layers = "layer" if len(certificate.silenced) == 1 else "layers"
        yield (
            f"certified with the rates of {len(certificate.silenced)} random {layers} at 0 "
            f"({', '.join(certificate.silenced[:4])}): replicas draw other masks than one device"
        )
    shared = [
        each.spec
        for each in certificate.contenders
        if each.replicas > 1 and each.devices[0].startswith("cpu")
    ]
    if shared:
        yield (
            f"efficiency is images/s over (replicas x those of {certificate.reference.spec}); "
            f"replicas of {', '.join(shared)} share the cores of one machine, so theirs is low"
        )
    xla = certificate.controls > CONTROLS
    way = f" and once {'without' if certificate.config.jit == 'on' else 'with'} XLA" if xla else ""
    yield (
        f"limits from {certificate.controls} control runs of {certificate.reference.spec}, with "
        f"examples permuted inside each batch{way}; {certificate.steps} steps on scenes of "
        f"{certificate.data.source}"
    )


def _conclude(certificate: Certificate) -> None:
    """Say that it is certified.

    Raises:
        BenchError: it is not.
    """
    found = certificate.first_disagreement()
    if found is None:
        names = ", ".join(each.spec for each in certificate.contenders)
        note(f"certified against {certificate.reference.spec}: {names}")
        return
    contender, quantity = found
    raise BenchError(refusal(certificate, contender, quantity))


def refusal(certificate: Certificate, contender: Contender, quantity: Quantity) -> str:
    """Return in one line what disagrees, with values and limit."""
    first = certificate.reference.spec
    values = ""
    if quantity.reference is not None or quantity.found is not None:
        values = f" ({_number(quantity.reference)} on {first}, {_number(quantity.found)} here)"
    return (
        f"Not certified: `{contender.spec}` must have the {quantity.name} of `{first}`, but the "
        f"difference ({quantity.how}) is {_number(quantity.difference)}{values}; the limit is "
        f"{quantity.limit:.3g} ({quantity.basis}). Do not compare results of the two."
    )


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"
