"""The plan names the code that trains; plug-ins are found without being imported."""

import dataclasses
import re
import sys

import pytest

from harness import __version__
from harness import code_version as module
from harness.cmd_naming import default_name, under_free_name
from harness.code_version import code_version
from harness.config import RunConfig
from harness.store import Store
from sweeps.axes import Choice
from sweeps.plan import SweepPlan
from sweeps.space import DEFAULT_SPACE, SearchSpace

PLAN = SweepPlan(
    name="mine", base=RunConfig(epochs=60, dataset="digits", threads=1), data_source="digits",
    data_digest="00", code="0.1.0+12345678",
)  # fmt: skip


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """Modules that say so when they are imported, in a folder and in a package."""
    loud = "raise RuntimeError('imported')\n"
    (tmp_path / "outside_net.py").write_text(loud)
    (tmp_path / "outside_kit").mkdir()
    (tmp_path / "outside_kit" / "__init__.py").write_text(loud)
    (tmp_path / "outside_kit" / "heads.py").write_text(loud)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_it_is_the_release_and_a_digest():
    version = code_version([RunConfig()])
    assert re.fullmatch(rf"{re.escape(__version__)}\+[0-9a-f]{{8}}", version)
    assert version == code_version([RunConfig(head="soft-argmax", backbone="keras/MobileNetV2")])


def test_any_changed_source_changes_it(tmp_path, monkeypatch):
    package = tmp_path / "outside_room"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "loss.py").write_text("WEIGHT = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(module, "ROOMS", ("outside_room",))
    before = code_version([])
    (package / "loss.py").write_text("WEIGHT = 2\n")
    changed = code_version([])
    assert changed != before
    (package / "loss.py").rename(package / "cost.py")
    assert code_version([]) not in {before, changed}


def test_plugins_are_named_with_a_digest_and_not_imported(plugins):
    configs = [
        RunConfig(backbone="outside_net:deep"),
        RunConfig(backbone="outside_net:wide", head="outside_kit.heads:mine"),
    ]
    version = code_version(configs)
    own, first, second = version.split(", ")
    assert own == code_version([RunConfig()])
    assert re.fullmatch(r"outside_kit\.heads [0-9a-f]{8}", first)
    assert re.fullmatch(r"outside_net [0-9a-f]{8}", second)
    assert not {"outside_net", "outside_kit", "outside_kit.heads"} & set(sys.modules)
    (plugins / "outside_net.py").write_text("def deep(image_shape): pass\n")
    assert code_version(configs) != version
    assert code_version(configs).split(", ")[:2] == [own, first]


@pytest.mark.parametrize("name", ["nowhere:net", "outside_net.inner:net", "sys:net"])
def test_a_plugin_without_a_file_is_left_to_whoever_loads_it(plugins, name):
    assert code_version([RunConfig(backbone=name)]) == code_version([RunConfig()])


def test_the_default_name_does_not_depend_on_code_or_defaults():
    name = default_name(PLAN)
    assert re.fullmatch(r"notebook-cnn-digits-[0-9a-f]{6}", name)
    for same in ({"code": "0.2.0+87654321"}, {"name": "other"}):
        assert default_name(dataclasses.replace(PLAN, **same)) == name
    searched = SearchSpace(axes=(*DEFAULT_SPACE.axes, Choice(name="batch_size", values=(16, 32))))
    others = (
        {"seed": 1}, {"data_digest": "01"}, {"finals": 1}, {"space": searched},
        {"trial_overrides": {"epochs": 3}}, {"base": dataclasses.replace(PLAN.base, epochs=61)},
    )  # fmt: skip
    names = {default_name(dataclasses.replace(PLAN, **other)) for other in others}
    assert len(names | {name}) == len(others) + 1


def test_the_first_free_name_overwrites_nothing(tmp_path):
    store = Store(tmp_path)
    assert under_free_name([PLAN], store)[0].name == "mine"
    store.sweep_dir("mine").mkdir(parents=True)
    assert under_free_name([PLAN], store)[0].name == "mine-2"
    store.run_dir("mine-2-t003").mkdir(parents=True)  # left of a sweep whose folder is gone
    store.run_dir("mine-3-later").mkdir()
    assert under_free_name([PLAN], store)[0].name == "mine-3"
