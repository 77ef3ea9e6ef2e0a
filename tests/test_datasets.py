import subprocess
import sys

import pytest

from harness.datasets import (
    DATASETS,
    check_dataset,
    defaults_text,
    epochs_for,
    trial_epochs_for,
    trial_examples_for,
)
from harness.errors import UsageError


def test_every_listed_name_is_accepted():
    for name in DATASETS:
        check_dataset(name)


def test_unknown_name_offers_the_nearest_and_the_list():
    with pytest.raises(UsageError) as caught:
        check_dataset("mnits")
    assert str(caught.value) == (
        "Unknown data set 'mnits'. Did you mean 'mnist'? Known: auto, coco:FILE.json, csv:FILE, "
        "digits, fashion-mnist, folder:PATH, idx:PATH, kmnist, mnist, npz:PATH, voc:PATH."
    )
    assert caught.value.exit_code == 2


def test_listing_costs_no_import_of_numpy():
    code = "import sys, harness.datasets; print('numpy' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("source", "examples", "epochs", "trial_examples", "trial_epochs"),
    [
        ("mnist", 55_000, 10, 6000, 8),
        ("kmnist", 55_000, 10, 6000, 8),
        ("digits", 1197, 60, None, 18),
        # One's own of these sizes get the same: 550,000 / 55,000 = 10, 48,000 / 6,000 = 8.
        ("folder", 55_000, 10, 6000, 8),
        ("npz", 1197, 60, None, 18),
        ("idx", 22_000, 25, 6000, 8),
        ("folder", 4_000, 60, None, 12),
        ("folder", 5, 60, None, 18),
    ],
)
def test_defaults_follow_the_size(source, examples, epochs, trial_examples, trial_epochs):
    assert epochs_for(source, examples) == epochs
    assert trial_examples_for(source, examples) == trial_examples
    assert trial_epochs_for(source, examples) == trial_epochs


def test_defaults_in_words():
    table = {"a": 10, "b": 10, "c": None}
    assert defaults_text(table, "8 to 18") == "10 on a/b, all on c, 8 to 18 on your own"
