import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from harness import digits


@pytest.fixture(scope="module")
def pools():
    source = digits.source()
    return source.read_train(), source.read_test()


def test_enlarging_agrees_with_linear_interpolation_in_floating_point():
    small = load_digits().images[:50]
    at = (np.arange(28) + 0.5) * 8 / 28 - 0.5
    wide = np.array([[np.interp(at, np.arange(8), row) for row in image] for image in small])
    tall = np.array([[np.interp(at, np.arange(8), col) for col in image.T] for image in wide])
    exact = tall.transpose(0, 2, 1) * 255 / 16
    # Rounding to nearest moves a value by at most one half.
    assert np.abs(digits.enlarged(small) - exact).max() <= 0.5 + 1e-9


def test_enlarging_by_hand():
    # One row 0 16 0 ... over all rows. Pixel j lies at (4 j - 5) / 14: j = 0, 1 before the first
    # (0); j = 2 at 3/14 (16 * 3/14 * 255/16 = 54.6); j = 3 at 7/14 (127.5, rounded up);
    # j = 4 at 11/14 (200.4); j = 5 at 15/14 (13/14: 236.8); j = 8 at 27/14 (1/14: 18.2).
    small = np.zeros((1, 8, 8))
    small[0, :, 1] = 16
    row = digits.enlarged(small)[0, 13].tolist()
    assert row[:9] == [0, 0, 55, 128, 200, 237, 164, 91, 18]
    assert row[9:] == [0] * 19


def test_darkest_and_brightest_stay():
    assert (digits.enlarged(np.full((1, 8, 8), 16)) == 255).all()
    assert (digits.enlarged(np.zeros((1, 8, 8))) == 0).all()


def test_the_two_pools_share_nothing_and_are_all_there(pools):
    train, test = pools
    assert (len(train.labels), len(test.labels)) == (1497, 300)
    everything = np.concatenate([train.images, test.images]).reshape(1797, -1)
    bundle = load_digits()
    expected = digits.enlarged(bundle.images).reshape(1797, -1)
    assert sorted(map(bytes, everything)) == sorted(map(bytes, expected))
    counts = np.bincount(train.labels) + np.bincount(test.labels)
    assert counts.tolist() == np.bincount(bundle.target).tolist()


def test_digits_that_lie_elsewhere_are_read_by_scikit_learn(pools, monkeypatch, tmp_path):
    class Elsewhere:
        def locate_file(self, path):
            return tmp_path / path

    monkeypatch.setattr(digits.importlib.metadata, "distribution", lambda _name: Elsewhere())
    assert digits.source().read_train().digest() == pools[0].digest()


def test_the_test_pool_is_stratified(pools):
    share = np.bincount(load_digits().target) / 1797
    assert np.abs(np.bincount(pools[1].labels) - 300 * share).max() <= 1


def test_golden_digests(pools):
    """The sealed digits must not change, or old records would name other data."""
    assert pools[0].digest() == "5a4004d5e4184402da69c14ff0d27374"
    assert pools[1].digest() == "5d70572a0168272719c1d35a1aa87384"


def test_nothing_heavy_is_imported_for_the_digits():
    code = (
        "import sys, harness.data; from harness import digits; digits.source().read_train(); "
        "print([m for m in ('sklearn', 'scipy', 'tensorflow', 'keras') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
