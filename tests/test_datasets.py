import subprocess
import sys

import pytest

from harness.datasets import DATASETS, check_dataset
from harness.errors import UsageError


def test_every_listed_name_is_accepted():
    for name in DATASETS:
        check_dataset(name)


def test_unknown_name_offers_the_nearest_and_the_list():
    with pytest.raises(UsageError) as caught:
        check_dataset("mnits")
    assert str(caught.value) == (
        "Unknown data set 'mnits'. Did you mean 'mnist'? Known: auto, digits, fashion-mnist, "
        "folder:PATH, idx:PATH, kmnist, mnist, npz:PATH."
    )
    assert caught.value.exit_code == 2


def test_listing_costs_no_import_of_numpy():
    code = "import sys, harness.datasets; print('numpy' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
