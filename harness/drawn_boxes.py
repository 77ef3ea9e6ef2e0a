"""A picture with the box and class that a network found, drawn in its own pixels."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

BOX_COLOUR = (230, 159, 0)
"""The orange that reports give predicted boxes (Okabe and Ito 2008)."""

_INK = (0, 0, 0)
_LEAST_PX = 480  # of the longer side: below it a label would cover the picture
_MOST_ENLARGED = 16


def drawn(picture: Image.Image, box: tuple[float, float, float, float], label: str) -> Image.Image:
    """Return the picture with a box and a label; small ones are enlarged by a whole factor.

    Args:
        picture: mode "RGB".
        box: its edges x_min, y_min, x_max, y_max in pixels; may reach over the border.
        label: one short line.
    """
    longer = max(picture.size)
    factor = min(_MOST_ENLARGED, max(1, -(-_LEAST_PX // longer)))
    size = (picture.width * factor, picture.height * factor)
    image = picture.resize(size, Image.Resampling.NEAREST) if factor > 1 else picture.copy()
    draw = ImageDraw.Draw(image)
    line_px = max(2, max(size) // 240)
    x_min, y_min, x_max, y_max = (side * factor for side in box)
    edges = (min(x_min, x_max), min(y_min, y_max), max(x_min, x_max), max(y_min, y_max))
    around = (edges[0] - 1, edges[1] - 1, edges[2] + 1, edges[3] + 1)
    draw.rectangle(around, outline=_INK)  # so that the box is seen on orange ground too
    draw.rectangle(edges, outline=BOX_COLOUR, width=line_px)
    _write(draw, label, edges, size)
    return image


def _write(
    draw: ImageDraw.ImageDraw, label: str, edges: tuple[float, float, float, float],
    size: tuple[int, int],
) -> None:  # fmt: skip
    """Write the label above the box, or below where there is no room, never outside."""
    font = ImageFont.load_default(size=max(14, max(size) // 28))
    left, top, right, bottom = draw.textbbox((0, 0), label, font=font)
    width, height, pad = right - left, bottom - top, 4
    x = min(max(0.0, edges[0]), max(0, size[0] - width - 2 * pad))
    above, below = edges[1] - height - 2 * pad - 2, edges[3] + 2
    y = above if above >= 0 else min(max(0.0, below), max(0, size[1] - height - 2 * pad))
    draw.rectangle((x, y, x + width + 2 * pad, y + height + 2 * pad), fill=BOX_COLOUR)
    draw.text((x + pad - left, y + pad - top), label, fill=_INK, font=font)
