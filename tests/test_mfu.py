"""Model FLOP utilisation by hand."""

from __future__ import annotations

import pytest

from harness.config import Precision
from harness.mfu import PEAK_DTYPES, utilisation
from harness.peak import DTYPES
from harness.record import Measure

TEN = Measure(value=10.0)
NONE = Measure(reason="nobody looked")


def test_by_hand() -> None:
    # 3 x 10 MFLOP x 1,000 images/s = 30 GFLOP/s, of 120: a quarter; of two devices: an eighth.
    rate, peak = Measure(value=1000.0), Measure(value=120.0)
    one = utilisation(mflops=TEN, images_per_s=rate, peak_gflops=peak, devices=1)
    two = utilisation(mflops=TEN, images_per_s=rate, peak_gflops=peak, devices=2)
    assert (one.value, two.value) == (pytest.approx(0.25), pytest.approx(0.125))


def test_more_than_the_peak_is_no_utilisation() -> None:
    rate = Measure(value=1000.0)
    found = utilisation(mflops=TEN, images_per_s=rate, peak_gflops=TEN, devices=1)
    assert found.value is None
    assert found.reason == (
        "training took 30 GFLOP/s, but a matrix product reached only 10: the peak was disturbed, "
        "or is no peak"
    )


@pytest.mark.parametrize(
    ("mflops", "rate", "peak", "what"),
    [
        (NONE, TEN, TEN, "the FLOP of the network"), (TEN, NONE, TEN, "the speed"),
        (TEN, TEN, NONE, "the peak"),
    ],
)  # fmt: skip
def test_what_is_unknown_is_told(mflops: Measure, rate: Measure, peak: Measure, what: str) -> None:
    found = utilisation(mflops=mflops, images_per_s=rate, peak_gflops=peak, devices=1)
    assert found == Measure(reason=f"{what} is unknown: nobody looked")


def test_each_precision_has_a_peak_of_its_kind() -> None:
    assert set(PEAK_DTYPES) == set(Precision.__args__)  # type: ignore[attr-defined]
    assert set(PEAK_DTYPES.values()) <= set(DTYPES)
