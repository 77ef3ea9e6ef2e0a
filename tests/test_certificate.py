"""The certificate as a value: verdicts, efficiency, and the way to JSON and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from certified import certificate, contender, quantity

from harness.certificate import Certificate, certificates
from harness.errors import StoreError


@pytest.mark.parametrize(
    ("difference", "agrees"), [(0.0, True), (2e-6, True), (2.1e-6, False), (None, False)]
)
def test_a_quantity_agrees_within_its_limit(difference: float | None, agrees: bool) -> None:
    assert quantity(difference=difference).agrees == agrees


def test_how_much_of_the_limit_is_used() -> None:
    assert quantity(difference=5e-7).used == pytest.approx(0.25)
    assert quantity(difference=None).used is None


def test_the_first_disagreement_is_named_in_the_order_of_contenders_and_quantities() -> None:
    assert certificate().certified
    bad = (quantity(), quantity("first gradient", 1.0), quantity("loss path", 9.0))
    found = certificate(contenders=(contender(), contender("mirrored:4", 4, quantities=bad)))
    assert not found.certified
    first = found.first_disagreement()
    assert first is not None
    assert (first[0].spec, first[1].name) == ("mirrored:4", "first gradient")


def test_scaling_efficiency_by_hand() -> None:
    found = certificate()
    # 300 images/s by 2 and by 4 replicas, where one makes 200.
    assert found.efficiency(found.contenders[0]) == pytest.approx(300 / 400)
    assert found.efficiency(found.contenders[1]) == pytest.approx(300 / 800)
    assert found.efficiency(found.reference) == 1
    found = certificate(reference=contender("mirrored", 2))
    assert found.efficiency(found.contenders[1]) == pytest.approx(0.5)


def test_it_comes_back_from_json() -> None:
    first = certificate(silenced=("dropout",))
    bad = certificate(contenders=(contender(quantities=(quantity(difference=None),)),))
    for each in (first, bad):
        assert Certificate.loads(each.dumps()) == each
        assert json.loads(each.dumps())["certified"] == each.certified
    assert first.version == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "must be JSON, but it is damaged"),
        ("[]", "must be a JSON object"),
        ('{"version": 2}', "must have version 1, got 2"),
        ('{"version": 1}', "This is not a certificate: 'machine'"),
    ],
)
def test_what_is_no_certificate(text: str, reason: str) -> None:
    with pytest.raises(StoreError, match=reason):
        Certificate.loads(text)


def test_unknown_fields_are_refused() -> None:
    values = certificate().to_json() | {"mood": "good"}
    with pytest.raises(StoreError, match="mood"):
        Certificate.from_json(values)


def test_certificates_of_a_folder(tmp_path: Path) -> None:
    assert list(certificates(tmp_path / "none")) == []
    for name in ("b", "a"):
        (tmp_path / f"{name}.json").write_text(certificate(name=name).dumps())
    assert [each.name for each in certificates(tmp_path)] == ["a", "b"]
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(StoreError, match=r"c\.json: A certificate must be JSON"):
        list(certificates(tmp_path))
