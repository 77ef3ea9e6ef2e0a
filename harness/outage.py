"""When to try a store again that failed: a breaker whose pauses grow."""

from __future__ import annotations

import time

COOL_DOWN_S = 30.0
"""First pause after a failure; doubled with each further one, up to `_LONGEST_PAUSE_S`."""

_LONGEST_PAUSE_S = 300.0


class Outage:
    """Whether a store has failed, and how long it is left in peace.

    Args:
        cool_down_s: first pause after a failure.

    Attributes:
        behind: it has failed, and not all that it missed was sent since.
    """

    def __init__(self, cool_down_s: float) -> None:
        self.behind = False
        self._first_s = self._pause_s = cool_down_s
        self._until = 0.0

    def resting(self) -> bool:
        """Tell whether it is too early to try again."""
        return self.behind and time.monotonic() < self._until

    def happened(self) -> None:
        """Begin a pause, longer than the last one."""
        self.behind = True
        self._until = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    def ended(self) -> None:
        """Note that nothing is missing any more."""
        self.behind = False
        self._pause_s = self._first_s
