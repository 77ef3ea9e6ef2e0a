"""Backbones by name: listing, loading, plug-ins good and broken. Needs no Keras.

The plug-ins are real modules with real distribution metadata, in a folder put on `sys.path`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from architectures import registry
from architectures.registry import BUILTIN, Backbone, backbone
from harness.errors import PluginError, UsageError

GOOD = '''
def net(image_shape):
    """A good net.

    More words.
    """
    return ("model", image_shape)
'''


class Site:
    """A folder of installed packages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, distribution: str, points: dict[str, str], **modules: str) -> None:
        info = self.folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n"
        )
        lines = [f"[{registry.GROUP}]", *(f"{name} = {value}" for name, value in points.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        for name, code in modules.items():
            (self.folder / f"{name}.py").write_text(code)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    with registry.temporary():
        yield Site(tmp_path)
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "").parent == tmp_path:
            del sys.modules[name]


def test_built_in_names_are_sorted_and_described() -> None:
    assert {"notebook-cnn", "readme-cnn"} <= set(registry.names())
    assert list(registry.names()) == sorted(registry.names())
    assert all(entry.summary and entry.owner == "locbench" for entry in BUILTIN.values())


def test_a_plug_in_is_listed_without_being_imported_then_loaded_when_asked_for(site: Site) -> None:
    site.install("good-nets", {"good": "good_nets:net"}, good_nets=GOOD)
    assert "good" in registry.names()
    registry.check_name("good")
    listed = next(entry for entry in registry.entries() if entry.name == "good")
    assert (listed.owner, listed.location) == ("good-nets", "good_nets:net")
    assert "good_nets" not in sys.modules
    loaded = registry.get("good")
    assert loaded.summary == "A good net."
    assert loaded((75, 75, 1)) == ("model", (75, 75, 1))


DECORATED = """
from architectures import backbone

@backbone("{name}", min_image_px=32, source="a paper")
def net(image_shape):
    "One line."
"""


def test_a_decorated_plug_in_keeps_what_it_says_of_itself(site: Site) -> None:
    code = DECORATED.format(name="fancy")
    # The entry point may lead to the function by another way than where it is defined.
    site.install(
        "fancy-nets", {"fancy": "fancy_nets:net"},
        fancy_inner=code, fancy_nets="from fancy_inner import net",
    )  # fmt: skip
    for _ in range(2):
        loaded = registry.get("fancy")
        assert (loaded.name, loaded.min_image_px, loaded.source, loaded.summary) == (
            "fancy", 32, "a paper", "One line.",
        )  # fmt: skip
    assert [entry.name for entry in registry.entries()].count("fancy") == 1


def test_a_place_instead_of_a_name(site: Site) -> None:
    (site.folder / "my_nets.py").write_text(GOOD + "class Zoo:\n    net = net\n")
    registry.check_name("my_nets:net")
    assert registry.get("my_nets:net").name == "my_nets:net"
    assert registry.get("my_nets:Zoo.net").function is registry.get("my_nets:net").function
    with pytest.raises(PluginError, match=r"'my_nets:nett'.*no attribute 'nett'"):
        registry.get("my_nets:nett")
    with pytest.raises(PluginError, match="No module named 'nowhere'"):
        registry.get("nowhere:net")


BROKEN = {
    "raises": ("1 / 0", "ZeroDivisionError: division by zero"),
    "exits": ("raise SystemExit('bye')", "SystemExit: bye"),
    "syntax": ("def", "SyntaxError: invalid syntax"),
    "misses": ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
    "empty": ("", "AttributeError: module 'bad_empty' has no attribute 'net'"),
    "number": ("net = 3", "must be a function, but bad_number:net is int"),
    "taken": (DECORATED.format(name="notebook-cnn"), "'notebook-cnn' is claimed by architectures"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plug_in_spoils_only_itself_and_says_why(site: Site, kind: str) -> None:
    code, words = BROKEN[kind]
    site.install("good-nets", {"good": "good_nets:net"}, good_nets=GOOD)
    site.install("bad-nets", {"bad": f"bad_{kind}:net"}, **{f"bad_{kind}": code})
    assert {"bad", "good"} <= set(registry.names())
    with pytest.raises(PluginError, match="'bad' of bad-nets") as raised:
        registry.get("bad")
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert kind == "number" or raised.value.__cause__ is not None
    assert registry.get("good")((1, 1, 1)) == ("model", (1, 1, 1))


def test_two_distributions_with_one_name_are_refused_by_name(site: Site) -> None:
    site.install("one-nets", {"net": "one_nets:net", "other": "one_nets:net"}, one_nets=GOOD)
    site.install("two-nets", {"net": "two_nets:net"}, two_nets=GOOD)
    words = r"'net' is claimed by \w+:net \((one|two)-nets\) and by \w+:net \((one|two)-nets\)"
    for look in (registry.check_name, registry.get):
        with pytest.raises(UsageError, match=words):
            look("net")
    assert [entry.name for entry in registry.entries()].count("net") == 2
    assert registry.get("other").name == "other"


def test_a_plug_in_cannot_take_the_place_of_a_built_in(site: Site) -> None:
    site.install("thief", {"notebook-cnn": "thief:net"}, thief=GOOD)
    words = r"architectures\.notebook_cnn:notebook_cnn \(locbench\) and by thief:net \(thief\)"
    with pytest.raises(UsageError, match=words):
        registry.get("notebook-cnn")


def test_a_registered_function_cannot_shadow_an_entry_point(site: Site) -> None:
    site.install("good-nets", {"good": "good_nets:net"}, good_nets=GOOD)
    backbone("good")(net)
    with pytest.raises(UsageError, match="claimed by test_registry:net and by good_nets:net"):
        registry.get("good")


def net(image_shape: registry.ImageShape) -> object:
    return image_shape


def other_net(image_shape: registry.ImageShape) -> object:
    return image_shape


def test_the_decorator_returns_the_function_and_temporary_forgets_it() -> None:
    before = registry.entries()
    with registry.temporary():
        assert backbone("mine", summary="Mine.")(net) is net
        assert registry.get("mine").function is net
        backbone("mine")(net)  # a module may be imported anew
        listed = next(entry for entry in registry.entries() if entry.name == "mine")
        assert listed.owner == "test_registry"
    assert registry.entries() == before
    with pytest.raises(UsageError, match="Unknown backbone 'mine'"):
        registry.get("mine")


@pytest.mark.parametrize("taken", ["mine", "readme-cnn"])
def test_a_second_owner_of_a_name_is_refused_naming_both(taken: str) -> None:
    with registry.temporary():
        backbone("mine")(other_net)
        with pytest.raises(UsageError, match=f"'{taken}' is claimed by .*:.* and by .*:net"):
            backbone(taken)(net)
        assert registry.get("mine").function is other_net


@pytest.mark.parametrize("name", ["", "two words", "a:b", "-x", "new\nline"])
def test_a_malformed_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="must be made of letters"):
        backbone(name)


def test_an_unknown_name_gets_the_nearest_and_the_list() -> None:
    for look in (registry.check_name, registry.get):
        with pytest.raises(
            UsageError, match=r"Did you mean 'notebook-cnn'\? `bench list backbones`"
        ):
            look("notebok-cnn")


@pytest.mark.parametrize("shape", [(21, 99, 1), (99, 21, 1)])
def test_images_that_are_too_small_are_refused_before_building(
    shape: registry.ImageShape,
) -> None:
    picky = Backbone(name="picky", function=net, location="a:b", min_image_px=22)
    with pytest.raises(UsageError, match=f"at least 22 x 22 pixels, but got {shape[0]} x"):
        picky(shape)
    assert picky((22, 22, 1)) == (22, 22, 1)


def test_a_backbone_that_raises_while_it_is_built() -> None:
    def explode(image_shape: registry.ImageShape) -> object:
        raise RuntimeError("no such layer.\nmany more lines")

    def refuse(image_shape: registry.ImageShape) -> object:
        raise UsageError("in my own words")

    with pytest.raises(PluginError) as raised:
        Backbone(name="boom", function=explode, location="nets:boom")((75, 75, 1))
    assert str(raised.value) == (
        "Backbone 'boom' must build for images of shape (75, 75, 1), but nets:boom raised "
        "RuntimeError: no such layer."
    )
    assert isinstance(raised.value.__cause__, RuntimeError)
    with pytest.raises(UsageError, match=r"^in my own words$"):
        Backbone(name="boom", function=refuse, location="nets:boom")((75, 75, 1))
