"""What a comparison of two sides says, in words for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from harness.record import METRICS
from reports.statistics import LEVEL
from reports.versus import SPEED, Versus


def verdict_words(found: Versus) -> Iterator[str]:
    """Yield the verdict by each measure that was asked for, and what would tell more."""
    first, second = found.first.name, found.second.name
    both = f"{first} and {second}"
    for name, outcome in found.outcomes.items():
        title = METRICS[name].title
        if outcome == "better":
            yield f"{second} > {first} in {title}"
        elif outcome == "worse":
            yield f"{first} > {second} in {title}: a regression"
        elif outcome == "no verdict":
            yield f"no verdict on {title}: {found.speed.absent}"
        elif name == SPEED:
            yield f"cannot separate {both} in {title}: {found.speed.why_open}"
        else:
            yield f"cannot separate {both} in {title}{_more(found, name)}"
    yield from _cautions(found)


def _more(found: Versus, name: str) -> str:
    noise = found.measures[name].test.noise
    alarms = (1 - LEVEL) / len(found.by)
    said = f": a difference of {noise.detectable(alarms=alarms):.4f} would be seen in 4 of 5 cases"
    if not noise.seeds:
        return said
    value = found.measures[name].test.difference.value or 0.0
    more = noise.more_seeds(value, alarms=alarms)
    if more is None:
        return f"{said}; for one as small as here more seeds do not help, only more test images"
    return f"{said}; one as small as here takes about {max(more, 1)} more seed(s) of each"


def _cautions(found: Versus) -> Iterator[str]:
    noise = next(iter(found.measures.values())).test.noise
    if not noise.seeds:
        yield (
            "One seed on a side: this is about these trained networks on other images; what other "
            "seeds would give is not in it. Name more runs, separated by commas."
        )
    if SPEED not in found.outcomes and found.speed.absent:
        yield f"images/s are not compared: {found.speed.absent}"
