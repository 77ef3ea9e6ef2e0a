"""Backbones by name: listed without importing Keras, loaded one at a time when asked for.

A backbone is a function from an image shape to a functional Keras model that ends in features. Its
keyword parameters among `OPTIONS` are what a run may change of it. Three ways lead to one:

- a row of `architectures.builtin` or `architectures.keras_names`, for those in this room;
- an entry point of the group `bench.backbones` of any installed package;
- its place, `package.module:function`, instead of a name.

Only the backbone asked for is imported: one that is broken spoils nothing but itself.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import inspect
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn, TypeVar

from architectures.builtin import BUILTIN, HEADS, Entry
from architectures.keras_names import KERAS_APPLICATIONS
from architectures.places import find_place, in_words
from harness.errors import BenchError, PluginError, UsageError, unknown_name

if TYPE_CHECKING:
    import keras

GROUP = "bench.backbones"
"""Entry-point group in which other packages announce their backbones."""

ImageShape = tuple[int, int, int]
"""Height, width and channels of an image, in pixels."""

Option = str | int | float

HOUSE = BUILTIN | KERAS_APPLICATIONS
"""The backbones of this room: its own families, and the models of Keras."""

OPTIONS = {
    "width": "factor on the number of channels, float above 0",
    "depth": "blocks per stage, int of at least 1",
    "pretrained": 'weights to start from: "none" or "imagenet"',
}
"""What a backbone's function may take beside the image shape, as keyword parameters."""

BuildFunction = Callable[..., "keras.Model"]
_F = TypeVar("_F", bound=Callable[..., object])


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A backbone that has been imported; call it to build its model.

    Attributes:
        name: what `--backbone` takes.
        function: from image shape to a functional `keras.Model` that ends in features, float
            `[n, features]`, or in a feature map, float `[n, rows, columns, channels]`.
        location: `package.module:function`, for messages.
        min_image_px: smallest width and height that the network can take.
        source: paper or notebook it comes from.
        summary: one line; the first of the function's docstring unless given.
        images_alone: what training makes of an image never depends on the others of its batch,
            nor on chance: a batch may be cut, for the cores of a CPU.
    """

    name: str
    function: BuildFunction
    location: str
    min_image_px: int = 1
    source: str = ""
    summary: str = ""
    images_alone: bool = False

    @property
    def options(self) -> tuple[str, ...]:
        """Return which of `OPTIONS` the function takes."""
        try:
            parameters = inspect.signature(self.function).parameters.values()
        except (TypeError, ValueError):  # a callable without a signature takes none
            return ()
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return tuple(OPTIONS)
        keywords = {p.name for p in parameters if p.kind is not p.POSITIONAL_ONLY}
        return tuple(option for option in OPTIONS if option in keywords)

    def check_options(self, asked: Iterable[str]) -> None:
        """Raise `UsageError` if one of these names is not among `self.options`."""
        _check_options(self.name, self.options, asked)

    def __call__(self, image_shape: ImageShape, **options: Option) -> keras.Model:
        """Return a new model; seed its weights with `keras.utils.set_random_seed` before.

        Args:
            image_shape: height, width and channels of one image.
            options: some of `self.options`; the function's own defaults for the others.

        Returns:
            Whatever the function returned; `heads.attach_heads` refuses what is no backbone.

        Raises:
            UsageError: the images are smaller than `min_image_px`, or an option is not among
                `self.options`.
            PluginError: the function raised.
        """
        self.check_options(options)
        height, width, _ = image_shape
        if min(height, width) < self.min_image_px:
            raise UsageError(
                f"Backbone {self.name!r} needs images of at least {self.min_image_px} x "
                f"{self.min_image_px} pixels, but got {height} x {width}. "
                "Choose another backbone or larger images."
            )
        try:
            return self.function(image_shape, **options)
        except BenchError:
            raise
        except Exception as error:
            raise PluginError(
                f"Backbone {self.name!r} must build for images of shape {image_shape}, but "
                f"{self.location} raised {in_words(error)}"
            ) from error


_registered: dict[str, Backbone] = {}


def backbone(
    name: str, *, min_image_px: int = 1, source: str = "", summary: str = "",
    images_alone: bool = False,
) -> Callable[[_F], _F]:  # fmt: skip
    """Register the decorated function as a backbone and return it unchanged.

    Args:
        name: what `--backbone` takes: letters, digits and `-_./`.
        min_image_px: smallest width and height that the network can take.
        source: paper or notebook it comes from.
        summary: one line; by default the first of the function's docstring.
        images_alone: no layer looks across the batch or draws at random.

    Raises:
        UsageError: the name is malformed or belongs to another function; the text names both.
    """
    if not re.fullmatch(r"\w[\w./-]*", name):
        raise UsageError(
            f"A backbone's name must be made of letters, digits and -_./, got {name!r}. Rename it."
        )

    def register(function: _F) -> _F:
        location = f"{function.__module__}:{function.__qualname__}"
        for owner in _locations(name):
            if owner != location:
                _refuse_duplicate(name, owner, location)
        _registered[name] = Backbone(
            name=name,
            function=function,
            location=location,
            min_image_px=min_image_px,
            source=source,
            summary=summary or _first_line(function),
            images_alone=images_alone,
        )
        return function

    return register


def entries() -> tuple[Entry, ...]:
    """Return what can be asked for, by name; nothing is imported.

    A name that two owners claim appears twice: `get` refuses it, the others work on.
    """
    announced = _announced()
    names_announced = {entry.name for entry in announced}
    by_hand = (
        Entry(
            name=name,
            location=known.location,
            owner=known.location.partition(":")[0],
            summary=known.summary,
        )
        for name, known in _registered.items()
        if name not in names_announced
    )
    return tuple(sorted([*announced, *by_hand], key=lambda entry: (entry.name, entry.location)))


def names() -> tuple[str, ...]:
    """Return every name that `get` knows, sorted; nothing is imported."""
    return tuple(sorted({entry.name for entry in entries()}))


def check_name(name: str, options: Iterable[str] = ()) -> None:
    """Raise `UsageError` if a name or its options are known to be wrong; nothing is imported.

    Which options a plug-in takes is known only once it is imported: `get` and the call check it.
    """
    if ":" in name:
        return
    for entry in _claims(name):
        if entry.options is not None:
            _check_options(name, entry.options, options)


def may_take(name: str, option: str) -> bool:
    """Tell whether a backbone has an option, or may have it; nothing is imported.

    Raises:
        UsageError: the name is unknown.
    """
    if ":" in name:
        return True
    claims = _claims(name)
    options = claims[0].options if claims else None
    return options is None or option in options


def check_head(name: str) -> None:
    """Raise `UsageError` if there is no head of this name; nothing is imported."""
    if ":" not in name and name not in HEADS:
        raise unknown_name("head", name, HEADS)


def get(name: str) -> Backbone:
    """Import and return one backbone.

    Args:
        name: one of `names()`, or `package.module:function`.

    Raises:
        UsageError: the name is unknown or has two owners.
        PluginError: its module cannot be imported or holds no such function.
    """
    if ":" in name:
        return _load(Entry(name=name, location=name, owner=name.partition(":")[0]))
    claims = _claims(name)
    if not claims:
        return _registered[name]
    loaded = _load(claims[0])
    by_hand = _registered.get(name)
    if by_hand is not None and by_hand.function is not loaded.function:
        _refuse_duplicate(name, by_hand.location, loaded.location)
    return loaded


@contextlib.contextmanager
def temporary() -> Iterator[None]:
    """Forget, at the end of the block, what others registered inside it (for tests)."""
    before = dict(_registered)
    try:
        yield
    finally:
        # A built-in first asked for inside stays: Python would not run its module again.
        kept = {name: known for name, known in _registered.items() if name in HOUSE}
        _registered.clear()
        _registered.update(before | kept)


def _announced() -> list[Entry]:
    """Return the built-in entries and the installed entry points."""
    plugins = (
        Entry(
            name=point.name,
            location=point.value,
            owner=point.dist.name if point.dist else point.module,
        )
        for point in importlib.metadata.entry_points(group=GROUP)
    )
    return [*HOUSE.values(), *plugins]


def _claims(name: str) -> list[Entry]:
    """Return the announced entry of a name, or nothing if it was registered by hand."""
    claims = [entry for entry in _announced() if entry.name == name]
    if len(claims) > 1:
        first, second = (f"{entry.location} ({entry.owner})" for entry in claims[:2])
        _refuse_duplicate(name, first, second)
    if not claims and name not in _registered:
        raise unknown_name("backbone", name, names(), listed_by="bench list backbones")
    return claims


def _locations(name: str) -> list[str]:
    built_in = [HOUSE[name].location] if name in HOUSE else []
    return built_in + ([_registered[name].location] if name in _registered else [])


def _load(entry: Entry) -> Backbone:
    title = f"Backbone {entry.name!r} of {entry.owner}"
    function = find_place("backbone", entry.location, title=title)
    for known in _registered.values():
        if known.function is function:
            return replace(known, name=entry.name)
    return Backbone(
        name=entry.name,
        function=function,
        location=entry.location,
        summary=entry.summary or _first_line(function),
    )


def _check_options(name: str, taken: Collection[str], asked: Iterable[str]) -> None:
    for option in asked:
        if option not in taken:
            others = [e.name for e in HOUSE.values() if option in (e.options or ())]
            more = ", ".join(others[:5]) + (" and others" if others[5:] else "")
            raise UsageError(
                f"Backbone {name!r} has no `{option}` to set. It takes "
                f"{', '.join(f'`{o}`' for o in taken) or 'no options'}. Leave `{option}` out, or "
                f"choose a backbone that takes it{f': {more}' if more else ''}."
            )


def _refuse_duplicate(name: str, first: str, second: str) -> NoReturn:
    raise UsageError(
        f"A backbone's name must have one owner, but {name!r} is claimed by {first} and by "
        f"{second}. Rename one of them, or uninstall its package."
    )


def _first_line(function: object) -> str:
    return (getattr(function, "__doc__", None) or "").strip().partition("\n")[0]
