"""Which code trains: the release, a digest of its sources, and one of each plug-in asked for.

A sweep keeps it in its plan, so that one table never holds the results of two versions. Nothing
is imported for it: a plug-in may do anything.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Collection, Iterable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

from architectures import registry
from harness import __version__
from harness.config import RunConfig

ROOMS = ("harness", "architectures", "sweeps")
"""Packages whose sources decide results; `reports` only tells of them."""


def code_version(configs: Collection[RunConfig]) -> str:
    """Return such as `0.1.0+1f0c2a9b` or, with plug-ins, `0.1.0+1f0c2a9b, fancynets 77d0e1c4`.

    Of a plug-in only the module's own file counts, not what that imports.

    Args:
        configs: name backbones and heads.
    """
    own = _digest(path for room in ROOMS for path in _sources(room))
    modules = {_module(each.backbone) for each in configs}
    modules |= {each.head.partition(":")[0] for each in configs if ":" in each.head}
    files = {module: _file(module) for module in sorted(modules - {""})}
    plugins = [f"{name} {_digest([path])}" for name, path in files.items() if path]
    return ", ".join([f"{__version__}+{own}", *plugins])


def _sources(room: str) -> Iterator[Path]:
    spec = importlib.util.find_spec(room)
    assert spec, "the rooms are installed together"
    for place in spec.submodule_search_locations or ():
        yield from sorted(Path(place).rglob("*.py"))


def _digest(paths: Iterable[Path]) -> str:
    """Return 8 hexadecimal digits of the SHA-256 of the files' names and contents."""
    sha = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        sha.update(f"{path.name} {len(content)}\n".encode())
        sha.update(content)
    return sha.hexdigest()[:8]


def _module(name: str) -> str:
    """Return the module of a backbone that is a plug-in; empty for one of ours."""
    if ":" in name:
        return name.partition(":")[0]
    if name in registry.HOUSE:
        return ""
    places = [entry.location for entry in registry.entries() if entry.name == name]
    return places[0].partition(":")[0] if places else ""


def _file(module: str) -> Path | None:
    """Return a module's file; None if it cannot be found, which loading it will tell."""
    path: list[str] | None = None
    spec: ModuleSpec | None = None
    name = ""
    for part in module.split("."):
        # Not `importlib.util.find_spec`: it imports the packages around a module.
        name = f"{name}.{part}".lstrip(".")
        spec = next((found for found in _found(name, path)), None)
        if spec is None:
            return None
        path = list(spec.submodule_search_locations or [])
    origin = Path(spec.origin) if spec and spec.has_location and spec.origin else None
    return origin if origin and origin.is_file() else None


def _found(name: str, path: list[str] | None) -> Iterator[ModuleSpec]:
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path)
        if spec is not None:
            yield spec
