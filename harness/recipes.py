"""Recipes: combinations of options that are known to work well together.

`bench run --recipe NAME` takes them where the user sets nothing else; the record knows no recipe,
only the options that came of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from harness.errors import UsageError, did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a recipe is for, and the fields of `RunConfig` that it sets."""

    meaning: str
    fields: Mapping[str, Any]

    def words(self) -> str:
        """Return the fields as the options that set them."""
        return " ".join(f"--{name.replace('_', '-')} {v}" for name, v in self.fields.items())


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "notebook": Recipe(
            meaning="The localization notebook's: Adam at 1e-3, equal weights.",
            fields=MappingProxyType({"backbone": "notebook-cnn", "learning_rate": 1e-3}),
        ),
        "fast": Recipe(
            meaning="Soon good on a CPU: on MNIST accuracy 0.99, mean IoU 0.95 in 8 epochs.",
            fields=MappingProxyType(
                {
                    "backbone": "residual-s",
                    "width": 1.5,
                    "head": "soft-argmax",
                    "box_loss": "giou",
                    "class_weight": 8.0,
                    "learning_rate": 6e-3,
                    "learning_rate_decay": "cosine",
                    "epochs": 8,
                }
            ),
        ),
    }
)


def recipe(name: str) -> Recipe:
    """Return the recipe of this name.

    Raises:
        UsageError: there is none.
    """
    try:
        return RECIPES[name]
    except KeyError:
        raise UsageError(
            f"--recipe must be one of {', '.join(RECIPES)}, got {name!r}."
            f"{did_you_mean(name, tuple(RECIPES))}"
        ) from None
