"""The names of the data sets, importable at no cost: listed, checked, nothing read.

`harness.sources` turns a name into something that can be read.
"""

from __future__ import annotations

from harness.errors import unknown_name

DATASETS: dict[str, str] = {
    "auto": "mnist if it is at hand or can be fetched within seconds, else digits",
    "mnist": "MNIST, 70,000 handwritten digits of 28x28 pixels (LeCun et al. 1998)",
    "digits": "scikit-learn's bundled 1,797 digits of 8x8 pixels, scaled to 28x28; no network",
}

EPOCHS: dict[str, int] = {"mnist": 10, "digits": 60}
"""Passes over the training examples if the user names no number: a digits epoch is 46 times
shorter. More would help on digits, but 50 trials and 3 finals shall end within minutes."""

TRAIN_EXAMPLES: dict[str, int] = {"mnist": 55_000, "digits": 1_197}
"""Training examples if none are left out: what validation and test leave of the source."""

TRIAL_EPOCHS: dict[str, int] = {"mnist": 8, "digits": 18}
"""Passes in a trial of a sweep, which only has to rank configurations."""

TRIAL_EXAMPLES: dict[str, int | None] = {"mnist": 6000, "digits": None}
"""Training examples in a trial of a sweep; None for all."""


def check_dataset(name: str) -> None:
    """Raise the error for an unknown name, before anything slow is imported.

    Raises:
        UsageError: `name` is not in `DATASETS`; the text offers the nearest.
    """
    if name not in DATASETS:
        raise unknown_name("data set", name, DATASETS)
