"""What every backbone must satisfy: a published test kit, for those of other packages too.

    import pytest
    from architectures import contract, registry

    contract.prepare()  # at the top of conftest.py, if the process runs other TensorFlow tests

    @pytest.mark.parametrize("check", contract.CHECKS)
    def test_contract(check):
        check(registry.get("fancy"), (75, 75, 1))

Each check returns nothing, or raises `PluginError` that says what must hold, what came and how
to mend it. They set Keras's global seed. `bench check fancy` runs them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter

from architectures.build_checks import (
    check_batch_sizes,
    check_features,
    check_image_sizes,
    check_options,
    check_save_and_load,
    check_seed,
    check_smallest_image,
)
from architectures.heads import features_of
from architectures.registry import Backbone, ImageShape
from architectures.train_checks import (
    check_gradients,
    check_learns,
    check_mixed_precision,
    check_replicas,
    check_xla,
    prepare,
)
from harness.errors import BenchError

__all__ = [
    "CHECKS",
    "Check",
    "Result",
    "check_batch_sizes",
    "check_features",
    "check_gradients",
    "check_image_sizes",
    "check_learns",
    "check_mixed_precision",
    "check_options",
    "check_replicas",
    "check_save_and_load",
    "check_seed",
    "check_smallest_image",
    "check_xla",
    "prepare",
    "run",
]

Check = Callable[[Backbone, ImageShape], None]

CHECKS: tuple[Check, ...] = (
    check_features,
    check_seed,
    check_batch_sizes,
    check_smallest_image,
    check_image_sizes,
    check_options,
    check_save_and_load,
    check_gradients,
    check_learns,
    check_mixed_precision,
    check_xla,
    check_replicas,
)
"""Every check, the cheap ones first. The first line of its docstring says what must hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one check ended.

    Attributes:
        name: of the check, without `check_`.
        requirement: what must hold, in one line.
        fault: what failed and how to mend it; None if it holds or was not tried.
        seconds: it took; None if it was not tried, as there is nothing to check.
    """

    name: str
    requirement: str
    fault: str | None = None
    seconds: float | None = None


def run(backbone: Backbone, image_shape: ImageShape) -> Iterator[Result]:
    """Run every check and yield how it ended, one by one; a fault ends none of the others.

    A backbone that does not even build fails the first check and is not tried by the others.
    """
    first, *others = CHECKS
    result = _checked(first, backbone, image_shape)
    yield result
    lost = result.fault is not None and not _builds(backbone, image_shape)
    for check in others:
        yield _result(check) if lost else _checked(check, backbone, image_shape)


def _checked(check: Check, backbone: Backbone, image_shape: ImageShape) -> Result:
    start, fault = perf_counter(), None
    try:
        check(backbone, image_shape)
    except Exception as error:  # noqa: BLE001 - code of strangers may raise anything
        fault = str(error) if str(error) else type(error).__name__
    return _result(check, fault=fault, seconds=perf_counter() - start)


def _result(check: Check, *, fault: str | None = None, seconds: float | None = None) -> Result:
    return Result(
        name=check.__name__.removeprefix("check_"),
        requirement=(check.__doc__ or "").partition("\n")[0],
        fault=fault,
        seconds=seconds,
    )


def _builds(backbone: Backbone, image_shape: ImageShape) -> bool:
    try:
        features_of(backbone(image_shape))
    except BenchError:
        return False
    return True
