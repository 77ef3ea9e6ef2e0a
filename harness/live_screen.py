"""A screen that draws itself twice a second while it is a context, if there is a terminal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

from rich.console import RenderableType
from rich.live import Live

from harness.console import console


class LiveScreen(ABC):
    """What shares the terminal with the lines that are printed meanwhile."""

    def __init__(self) -> None:
        self._live = Live(
            get_renderable=self._screen, console=console, refresh_per_second=2, transient=True
        )

    def __enter__(self) -> Self:
        if console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    @abstractmethod
    def _screen(self) -> RenderableType:
        """Return what the screen shows now."""
