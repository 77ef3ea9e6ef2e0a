"""Sines of whole degrees in fixed point, equal on every machine.

`math.sin` is the C library's, whose last bit differs from one to the next. Here it is a finite
table, made with whole numbers alone.
"""

from __future__ import annotations

BITS = 14
"""Fraction bits: 30 pixels from the centre the rounding of a sine moves a point by 0.001 px."""

ONE = 1 << BITS

_FINE = 80
_PI = 314159265358979323846264338327950288  # times 10^-35


def _first_quadrant() -> tuple[int, ...]:
    """Return the sines of 0 to 90 degrees by Taylor's series with 80 bits, rounded to `BITS`."""
    sines = []
    for degrees in range(91):
        x = ((_PI << _FINE) * degrees) // (180 * 10**35)
        term, total, k = x, 0, 1
        while term:
            total += term
            term = -((term * x >> _FINE) * x >> _FINE) // ((k + 1) * (k + 2))
            term = 0 if abs(term) < 2 else term  # floor division never gets past -1
            k += 2
        sines.append((total + (1 << (_FINE - BITS - 1))) >> (_FINE - BITS))
    return tuple(sines)


_SINES = _first_quadrant()


def sine(degrees: int) -> int:
    """Return the sine of an angle times `ONE`, rounded to nearest."""
    turned = degrees % 360
    if turned >= 180:
        return -sine(turned - 180)
    return _SINES[min(turned, 180 - turned)]


def cosine(degrees: int) -> int:
    """Return the cosine of an angle times `ONE`, rounded to nearest."""
    return sine(degrees + 90)


def turned_px(side_px: int, degrees: int) -> int:
    """Return the side of the upright square around a turned one, in pixels, rounded up."""
    reach = side_px * (abs(sine(degrees)) + abs(cosine(degrees)))
    return -(-reach // ONE)
