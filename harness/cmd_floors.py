"""The noise floors that commands hold differences of speed against."""

from __future__ import annotations

from harness.console import say
from harness.errors import StoreError
from harness.noise_floor import NoiseFloor, noise_floors
from harness.store import Store


def known_floors(store: Store) -> list[NoiseFloor]:
    """Return the calibrations in the output folder; a damaged one is told and costs no result."""
    try:
        return list(noise_floors(store.calibrations))
    except StoreError as error:
        say(f"No noise floor is used: {error}")
        return []
