"""Every photo of a data set looked at once: bytes and headers, no pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.annotations import Annotated, Annotations
from harness.box_checks import Photo, checked_photo
from harness.chunked_threads import mapped
from harness.image_files import ImageFacts, UnreadableImageError, bombs_are_errors, probe
from harness.problems import Problem

_CHUNK = 256
"""Files that are read before their boxes are checked; a few are in memory at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a data set holds, and every fault that shows without decoding a pixel.

    Attributes:
        source: what the user named.
        photos: without a fault, in the order of their names; some may have no main object.
        annotation_problems: faults in the annotations, missing images among them.
        file_problems: images that cannot be read.
        box_problems: boxes that are impossible or belong to another size, and copies of a photo
            that show another class than it.
        unlisted: annotated images that no list of a split names.
        classes: that are declared or of an object, even if of no main object; sorted.
    """

    source: str
    photos: tuple[Photo, ...]
    annotation_problems: tuple[Problem, ...]
    file_problems: tuple[Problem, ...]
    box_problems: tuple[Problem, ...]
    unlisted: int
    classes: tuple[str, ...]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All faults."""
        return self.annotation_problems + self.file_problems + self.box_problems


def survey(annotations: Annotations) -> Survey:
    """Read the bytes and header of every image, and check its boxes.

    The bytes of all images are read, so this takes as long as the disk does.
    """
    photos: list[Photo] = []
    file_problems: list[Problem] = []
    box_problems: list[Problem] = []
    for image, facts in _probed(annotations.images):
        if isinstance(facts, Problem):
            file_problems.append(facts)
            continue
        photo, faults = checked_photo(image, facts)
        box_problems += faults
        if photo is not None:
            photos.append(photo)
    photos, contradictions = _of_one_class(photos)
    box_problems += contradictions
    seen = {each.name for photo in photos for each in photo.objects if not each.minor}
    return Survey(
        source=annotations.source,
        photos=tuple(photos),
        annotation_problems=annotations.problems,
        file_problems=tuple(file_problems),
        box_problems=tuple(box_problems),
        unlisted=annotations.unlisted,
        classes=tuple(sorted(seen.union(annotations.classes))),
    )


def _of_one_class(photos: Sequence[Photo]) -> tuple[list[Photo], list[Problem]]:
    """Return the photos without those whose copies show another class: which is true?"""
    classes: dict[str, dict[str, Photo]] = {}
    for photo in photos:
        if photo.main is not None:
            classes.setdefault(photo.facts.sha256, {}).setdefault(photo.main.name, photo)
    clean, problems = [], []
    for photo in photos:
        others = classes.get(photo.facts.sha256, {})
        other = next((o for name, o in others.items() if name != _main_class(photo)), None)
        if photo.main is None or other is None:
            clean.append(photo)
            continue
        what = (
            f"copies of a photo must show the same class, but the same bytes are "
            f"{photo.main.name!r} here and {_main_class(other)!r} in {image_place(other.image)}"
        )
        problems.append(Problem(where=image_place(photo.image), what=what))
    return clean, problems


def _main_class(photo: Photo) -> str | None:
    return None if photo.main is None else photo.main.name


def _probed(images: Sequence[Annotated]) -> list[tuple[Annotated, ImageFacts | Problem]]:
    with bombs_are_errors():
        chunks = mapped(_facts, images, chunk=_CHUNK)
        facts = [each for chunk in chunks for each in chunk]
    return list(zip(images, facts, strict=True))


def _facts(image: Annotated) -> ImageFacts | Problem:
    try:
        return probe(image.path)
    except UnreadableImageError as error:
        return Problem(where=image_place(image), what=str(error))


def image_place(image: Annotated) -> str:
    """Return the place of a fault in the image file itself, and what names it."""
    return f"{image.path.name} ({image.where})"
