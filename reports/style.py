"""One look for every picture: colours that colour-blind readers can tell apart, GitHub's width.

Figures are made without pyplot, so that nothing global is left behind and no display is needed.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

WIDTH_IN = 9.0
"""Figure width in inches; at `DPI` twice the 675 px that a dense screen shows of GitHub's 900."""

DPI = 150

# Okabe & Ito (2008), "Color Universal Design", without their yellow (too pale on white).
BLUE, ORANGE, GREEN, PINK, SKY, VERMILION = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00",
)  # fmt: skip
GREY = "#6E6E6E"
PALETTE = (BLUE, VERMILION, GREEN, ORANGE, PINK, SKY)
"""Colours of contenders, best first; at most so many are drawn in one picture."""

MARKERS = ("o", "s", "^", "D", "v", "P")
"""Marks of contenders, best first, for who cannot see the colours."""

TRUE_BOX, PREDICTED_BOX = GREEN, ORANGE

_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "figure.facecolor": "white",  # GitHub's dark theme must not shine through
    "savefig.facecolor": "white",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plot:
    """A picture that can be drawn, and the table behind it.

    Attributes:
        name: file name without ending.
        alt: what somebody who cannot see it should know.
        caption: what it shows, and how to read it; Markdown.
        table: the numbers drawn.
        draw: table -> figure.
    """

    name: str
    alt: str
    caption: str
    table: pd.DataFrame
    draw: Callable[[pd.DataFrame], Figure]

    def png(self, *, dpi: int = DPI) -> bytes:
        """Draw and return the picture as PNG, the same bytes for the same table."""
        with applied():
            figure = self.draw(self.table)
            buffer = io.BytesIO()
            # Without its own name and version in the file, matplotlib writes equal bytes.
            # `figure.savefig` would draw all of it twice.
            figure.dpi = dpi
            FigureCanvasAgg(figure).print_png(  # type: ignore[no-untyped-call]
                buffer, metadata={"Software": None}
            )
        return buffer.getvalue()

    def csv(self) -> bytes:
        """Return the table as CSV: dots as decimal points, line feeds as line ends."""
        text: str = self.table.to_csv(index=False, lineterminator="\n", float_format="%.6g")
        return text.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Omitted:
    """A picture that cannot be drawn, and why."""

    name: str
    reason: str


_LEGEND_CHARACTERS = 130
"""Letters of this size on one line of a figure as wide as `WIDTH_IN`, keys counted as 8."""


@contextmanager
def applied() -> Iterator[None]:
    """Draw in the style of this house; what was set before comes back afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()  # a user's matplotlibrc must not change a report
        mpl.rcParams.update(_STYLE)  # type: ignore[arg-type]  # its keys are a Literal
        yield


def drawn_name(name: str, most: int = 16) -> str:
    """Return the name of a class as matplotlib shall write it: cut if long, `$` as it is."""
    cut = name if len(name) <= most else f"{name[: most - 1]}…"
    return cut.replace("$", r"\$")


def legend_columns(labels: Sequence[str]) -> int:
    """Return how many columns a legend below the figure may have without leaving it."""
    return max(1, min(len(labels), _LEGEND_CHARACTERS // (max(map(len, labels)) + 8)))


def new_figure(height_in: float, *, width_in: float = WIDTH_IN) -> Figure:
    """Return an empty figure that keeps its texts apart."""
    return Figure(figsize=(width_in, height_in), layout="constrained")
