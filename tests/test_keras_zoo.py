"""All forty `keras/<Name>`, only where `BENCH_ZOO=all`: some take minutes and gigabytes."""

from __future__ import annotations

import os
from pathlib import Path

import keras
import pytest
from zoo import ask, closed_port

from architectures import contract, registry
from architectures.keras_names import members

__all__ = ["closed_port"]  # a fixture

pytestmark = pytest.mark.skipif(
    os.environ.get("BENCH_ZOO") != "all", reason="takes an hour; BENCH_ZOO=all runs it"
)

FAMILY = dict(members())


@pytest.mark.parametrize("check", contract.CHECKS)
@pytest.mark.parametrize("model", FAMILY)
def test_contract(model: str, check: contract.Check) -> None:
    keras.utils.clear_session()  # else the graphs of all models pile up
    check(registry.get(f"keras/{model}"), (75, 75, 1))


@pytest.mark.parametrize("model", FAMILY)
def test_the_parameters_that_are_listed(model: str) -> None:
    keras.utils.clear_session()
    parameters = registry.get(f"keras/{model}")((75, 75, 1)).count_params()
    assert round(parameters / 1e6, 1) == FAMILY[model].millions[model]


def test_the_file_that_is_named_is_the_one_keras_looks_for(
    tmp_path: Path, closed_port: int
) -> None:
    """Put rubbish where the message says: Keras deletes it, or chokes on it."""
    cases = [(model, closed_port) for model in FAMILY]
    files = [
        Path(said.words.rpartition(" ")[2].removesuffix(".")) for said in ask(tmp_path, cases)
    ]
    assert len(set(files)) == len(FAMILY)
    for file in files:
        file.write_bytes(b"no weights")
    for model, file, said in zip(FAMILY, files, ask(tmp_path, cases), strict=True):
        assert not file.exists() or "delete what there is" in said.words, model
