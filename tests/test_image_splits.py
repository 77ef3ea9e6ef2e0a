from collections import Counter
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.annotations import Annotated, BoxedObject
from harness.box_checks import Photo
from harness.image_files import ImageFacts
from harness.image_splits import (
    divide,
    grouped_order,
    train_and_validation,
    whole_groups,
    without_leaks,
)


def photo(name, content, label="dog", split=None):
    main = BoxedObject(name=label, box=(0, 0, 1, 1), where="")
    image = Annotated(
        path=Path(f"{name}.png"), name=name, objects=(main,), where=f"list:{name}", split=split
    )
    facts = ImageFacts(sha256=content, stored_px=(1, 1), orientation=1)
    return Photo(image=image, facts=facts, objects=(main,), main=main, clipped=0)


def some(*pairs, split=None):
    return [photo(f"{at:04}", f"{c}", f"{label}", split) for at, (c, label) in enumerate(pairs)]


pairs = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), min_size=4, max_size=80)
seeds = st.integers(0, 2**31 - 1)


@settings(deadline=None)
@given(pairs, seeds)
def test_copies_are_never_parted_and_nothing_is_lost(drawn, seed):
    photos = some(*drawn)
    division = divide(photos)
    trains, validates = train_and_validation(division.pool, data_seed=seed, validation_given=False)
    assert sorted([*trains, *validates]) == list(range(len(division.pool)))
    names = Counter(each.image.name for each in (*division.pool, *division.test))
    assert names == Counter(each.image.name for each in photos)
    parts = [
        {each.facts.sha256 for each in division.test},
        {division.pool[row].facts.sha256 for row in trains},
        {division.pool[row].facts.sha256 for row in validates},
    ]
    assert sum(map(len, parts)) == len(set.union(*parts))


@settings(deadline=None)
@given(pairs)
def test_copies_stand_together_in_the_order(drawn):
    photos = some(*drawn)
    order = grouped_order(photos, "any")
    assert sorted(order) == list(range(len(photos)))
    contents = [photos[row].facts.sha256 for row in order]
    changes = sum(a != b for a, b in pairwise(contents))
    assert changes == len(set(contents)) - 1


def test_shares_and_classes_are_kept():
    photos = some(*((at, at % 4) for at in range(400)))
    division = divide(photos)
    assert Counter(each.main.name for each in division.test) == dict.fromkeys("0123", 20)
    trains, validates = train_and_validation(division.pool, data_seed=5, validation_given=False)
    assert Counter(division.pool[r].main.name for r in validates) == dict.fromkeys("0123", 8)
    # The beginning of the training order is stratified too.
    assert Counter(division.pool[r].main.name for r in trains[:40]) == dict.fromkeys("0123", 10)


def test_the_test_split_does_not_depend_on_the_seed_and_validation_does():
    division = divide(some(*((at, at % 4) for at in range(200))))
    one, other, same = (
        set(train_and_validation(division.pool, data_seed=s, validation_given=False)[1].tolist())
        for s in (1, 2, 1)
    )
    assert one == same
    assert len(one & other) < len(one) / 2


def test_given_splits_are_kept_for_every_seed():
    words = ["train"] * 10 + ["validation"] * 5 + ["test"] * 5
    photos = [photo(f"{at:02}", f"{at}", split=word) for at, word in enumerate(words)]
    division = divide(photos)
    assert division.test == tuple(photos[15:])
    assert division.validation_given
    for seed in (0, 1):
        trains, validates = train_and_validation(
            division.pool, data_seed=seed, validation_given=True
        )
        assert sorted(trains) == list(range(10))
        assert sorted(validates) == list(range(10, 15))


def test_a_missing_test_split_is_drawn_from_training_photos_alone():
    words = ["train"] * 20 + ["validation"] * 10
    photos = [photo(f"{at:02}", f"{at}", split=word) for at, word in enumerate(words)]
    division = divide(photos)
    assert len(division.test) == 6
    assert {each.split for each in division.test} == {"train"}


def test_a_missing_validation_split_is_drawn():
    words = ["train"] * 20 + ["test"] * 10
    photos = [photo(f"{at:02}", f"{at}", split=word) for at, word in enumerate(words)]
    division = divide(photos)
    trains, validates = train_and_validation(
        division.pool, data_seed=0, validation_given=division.validation_given
    )
    assert (len(trains), len(validates), len(division.test)) == (18, 2, 10)


def test_copies_over_given_splits_are_faults_and_the_sealed_one_is_kept():
    photos = [
        photo("a", "same", split="train"), photo("b", "same", split="test"),
        photo("c", "two", split="train"), photo("d", "two", split="train"),
        photo("e", "three", split="validation"), photo("f", "three", split="train"),
    ]  # fmt: skip
    clean, problems = without_leaks(photos)
    both = "a photo must be in one split, but the same bytes are in"
    assert [each.image.name for each in clean] == ["b", "c", "d", "e"]
    assert [str(problem) for problem in problems] == [
        f"a.png (list:a): {both} test (b) and in train",
        f"f.png (list:f): {both} validation (e) and in train",
    ]


def test_whole_groups_go_on_to_the_last_copy():
    photos = some((1, 0), (2, 0), (2, 0), (2, 0), (3, 0))
    assert [whole_groups(photos, n) for n in range(7)] == [0, 1, 4, 4, 4, 5, 5]


@settings(deadline=None)
@given(pairs, seeds)
def test_every_class_is_trained_on_even_if_it_has_one_photo(pairs, seed):
    photos = some(*pairs)
    division = divide(photos)
    trains, _ = train_and_validation(division.pool, data_seed=seed, validation_given=False)
    trained = {division.pool[row].main.name for row in trains}
    assert trained == {each.main.name for each in photos}
