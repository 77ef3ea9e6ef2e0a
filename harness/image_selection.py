"""Which photos of a survey are used, and for what: faults told or left out, test set apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.box_checks import Photo
from harness.errors import DataError
from harness.image_cache import CacheMode, Kept, keep
from harness.image_rows import DecodedPixels
from harness.image_splits import Division, divide, main_name, without_leaks
from harness.image_survey import Survey, image_place
from harness.problems import Problem, raise_problems

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """How photos are decoded and where their pixels are kept.

    Attributes:
        canvas_px: side of the square canvas.
        channels: 1 for grey, 3 for RGB.
        cache: where decoded photos are kept.
        cache_dir: for "disk"; None for the user's cache folder.
    """

    canvas_px: int
    channels: int
    cache: CacheMode
    cache_dir: Path | None

    def keep(self, photos: Sequence[Photo], mode: CacheMode | None = None) -> Kept:
        """Decode photos once, and keep them as `cache` says, or as `mode` does."""
        decoded = DecodedPixels(
            [photo.image.path for photo in photos],
            canvas_px=self.canvas_px,
            channels=self.channels,
        )
        hashes = [photo.facts.sha256 for photo in photos]
        return keep(decoded, hashes, mode or self.cache, self.cache_dir)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """What a data set holds and no split does.

    Attributes:
        faults: those that were passed over by `skip_bad`.
        without_object: photos with nothing to localize.
        unlisted: photos that no list of a split names.
        clipped: boxes that were cut by up to a pixel to lie in their photo; these are used.
        classes: that no photo has as its main object.
    """

    faults: tuple[Problem, ...]
    without_object: int
    unlisted: int
    clipped: int
    classes: tuple[str, ...]

    def words(self) -> str:
        """Return what was left out in one line, empty if nothing was."""
        counts = (
            (len(self.faults), "fault", "faults", "passed over"),
            (self.without_object, "photo", "photos", "without an object left out"),
            (self.unlisted, "photo", "photos", "in no list of a split left out"),
            (self.clipped, "box", "boxes", "cut by up to a pixel"),
        )
        said = [
            f"{count:,} {one if count == 1 else many} {what}"
            for count, one, many, what in counts
            if count
        ]
        if self.classes:
            said.append(f"no photo of {named(self.classes)}")
        return ", ".join(said)


def named(classes: Sequence[str]) -> str:
    """Return the names of classes, the first of them if there are many."""
    shown, more = classes[:_MOST_NAMED], len(classes) - _MOST_NAMED
    return ", ".join(shown) + (f" and {more:,} more classes" if more > 0 else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Photos in use.

    Attributes:
        pool: training and validation photos, in the order of their names.
        rows: of each in `kept`.
        kept: their pixels.
        test: sealed.
        validation_given: whether the data set names the validation split.
        class_names: sorted; those of the main objects to train on.
        left_out: the rest.
    """

    pool: tuple[Photo, ...]
    rows: tuple[int, ...]
    kept: Kept
    test: tuple[Photo, ...]
    validation_given: bool
    class_names: tuple[str, ...]
    left_out: LeftOut


def select(found: Survey, storage: Storage, *, skip_bad: bool) -> Selection:
    """Decode the training pool once, and return what can be used.

    Args:
        found: every photo.
        storage: what to do with decoded photos.
        skip_bad: leave out what has a fault instead of raising.

    Raises:
        DataError: there is a fault, or no photo with an object.
        StoreError: the cache cannot be written.
    """
    with_object = [photo for photo in found.photos if photo.main is not None]
    photos, leaks = without_leaks(with_object)
    problems = [*found.problems, *leaks]
    division = divide(photos)
    # Where faults are known, decoding only looks for more: what is left will change.
    kept = storage.keep(division.pool, "none" if problems and not skip_bad else None)
    problems += decoding_problems(division.pool, kept)
    trained = _trained(division, kept)
    problems += _untrained(found.source, photos, trained)
    raise_problems(problems, skip_bad=skip_bad, kept=len(photos), of=found.source)
    if not trained:
        raise DataError(
            f"A set of photos must have objects to train on, but {found.source} has none."
        )
    rows = [
        row
        for row, photo in enumerate(division.pool)
        if row not in kept.faults and main_name(photo) in trained
    ]
    return Selection(
        pool=tuple(division.pool[row] for row in rows),
        rows=tuple(rows),
        kept=kept,
        test=tuple(photo for photo in division.test if main_name(photo) in trained),
        validation_given=division.validation_given,
        class_names=tuple(sorted(trained)),
        left_out=LeftOut(
            faults=tuple(problems),
            without_object=len(found.photos) - len(with_object),
            unlisted=found.unlisted,
            clipped=sum(photo.clipped for photo in photos),
            classes=tuple(sorted(set(found.classes).difference(map(main_name, photos)))),
        ),
    )


def decoding_problems(photos: Sequence[Photo], kept: Kept) -> list[Problem]:
    """Return the faults that showed when photos were decoded."""
    return [
        Problem(where=image_place(photos[row].image), what=what)
        for row, what in sorted(kept.faults.items())
    ]


def _trained(division: Division, kept: Kept) -> set[str]:
    """Return the classes that have a photo to train on."""
    pool = enumerate(division.pool)
    return {
        main_name(photo)
        for row, photo in pool
        if row not in kept.faults and photo.split != "validation"
    }


def _untrained(source: str, photos: Sequence[Photo], trained: Collection[str]) -> list[Problem]:
    """Return a fault for each class that only the other splits have."""
    counts = Counter(main_name(photo) for photo in photos)
    return [
        Problem(
            where=f"{source}, class {name!r}",
            what=f"a class must have a photo to train on, but none of its {count:,} is one",
        )
        for name, count in sorted(counts.items())
        if name not in trained
    ]
