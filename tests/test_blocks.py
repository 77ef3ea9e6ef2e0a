"""Deep networks in few rows: nothing is lost, and names decide what belongs together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import NOTEBOOK

from harness.record import Layer, ModelFacts
from reports.blocks import Block, added, blocks, split_parts
from reports.diagram import MOST_BLOCKS, draw_layers, layer_table, layers_plot, short
from reports.style import Plot


def layer(name: str, kind: str = "Conv2D", cost: int | None = 0, px: int = 8) -> Layer:
    return Layer(
        name=name, kind=kind, output_shape=(px, px, 4), parameters=len(name), multiply_adds=cost
    )


BLOCK = (("conv", "Conv2D", 100), ("norm", "Norm", 0), ("sum", "Add", 0))


def deep(stages: int = 3, inside: int = 4) -> tuple[Layer, ...]:
    """Blocks of a convolution, a normalisation and a sum, as most networks name them."""
    return (
        layer("image", "InputLayer"),
        *(
            layer(f"stage_{stage}_block_{block}_{what}", kind, cost, px=16 // stage)
            for stage in range(1, stages + 1)
            for block in range(1, inside + 1)
            for what, kind, cost in BLOCK
        ),
    )  # fmt: skip


def names(found: tuple[Block, ...]) -> list[str]:
    return [block.name for block in found]


def test_few_layers_stay_as_they_are() -> None:
    found = blocks(NOTEBOOK.layers, 11)
    assert names(found) == [one.name for one in NOTEBOOK.layers]
    assert {block.layers for block in found} == {1}


def test_layers_are_summed_up_by_the_longest_common_beginning_that_is_short_enough() -> None:
    found = blocks(deep(), 20)
    assert names(found)[:3] == ["image", "stage_1_block_1", "stage_1_block_2"]
    assert len(found) == 1 + 3 * 4
    one = found[1]
    assert (one.kind, one.layers, one.multiply_adds) == ("Conv2D", 3, 100)
    assert one.parameters == sum(len(f"stage_1_block_1_{w}") for w in ("conv", "norm", "sum"))
    assert names(blocks(deep(), 12)) == ["image", *(f"stage_{n}_block" for n in (1, 2, 3))]
    assert blocks(deep(), 12)[1].kind == "4 Conv2D"


def test_words_end_where_digits_begin() -> None:
    some = [layer(f"block{n}{letter}_conv") for n in (1, 2) for letter in "abc"]
    assert names(blocks(some, 5)) == ["block1", "block2"]


def test_names_that_tell_nothing_leave_the_size_of_the_image_to_decide() -> None:
    kinds = ("conv2d", "activation")
    some = [layer(f"{kind}_{n}", px=32 // (1 + n // 5)) for n in range(10) for kind in kinds]
    found = blocks(some, 6)
    assert names(found) == ["conv2d_0 ... activation_4", "conv2d_5 ... activation_9"]
    assert [block.output_shape for block in found] == [(32, 32, 4), (16, 16, 4)]


def test_equal_numbers_are_the_last_resort() -> None:
    some = [layer(f"{'ab'[n % 2]}{n}", px=1 + n % 2) for n in range(10)]
    assert [block.layers for block in blocks(some, 4)] == [3, 3, 3, 1]


def test_what_was_not_counted_is_missing_in_the_sum() -> None:
    assert added([1, 2]) == 3
    assert added([1, None]) is None
    assert added([]) == 0
    some = [layer("a_1", cost=None), layer("a_2", cost=5)]
    assert blocks(some, 1)[0].multiply_adds is None


@given(
    st.lists(st.tuples(st.from_regex(r"[ab](_[12]){0,3}", fullmatch=True), st.integers(1, 3)),
             min_size=1, max_size=60),
    st.integers(1, 30),
)  # fmt: skip
def test_blocks_are_few_and_lose_nothing(what: list[tuple[str, int]], most: int) -> None:
    some = [layer(name, cost=n, px=px) for n, (name, px) in enumerate(what)]
    found = blocks(some, most)
    assert len(found) <= most
    assert sum(block.layers for block in found) == len(some)
    assert sum(block.parameters for block in found) == sum(one.parameters for one in some)
    assert added([block.multiply_adds for block in found]) == sum(range(len(some)))
    assert found[-1].output_shape == some[-1].output_shape


def test_outputs_of_old_records_belong_to_the_head() -> None:
    body, head = split_parts(NOTEBOOK.layers)
    assert [one.name for one in head] == ["classification", "bounding_box"]
    assert len(body) == len(NOTEBOOK.layers) - 2


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1000, "1.00 k"), (9_996, "10.0 k"), (767_376, "767 k"),
     (999_499, "999 k"), (999_500, "1.00 M"), (10_644_624, "10.6 M"), (3_857_973_248, "3.86 G")],
)  # fmt: skip
def test_numbers_with_three_digits(number: int, text: str) -> None:
    assert short(number) == text


def with_head(layers: tuple[Layer, ...]) -> ModelFacts:
    head = tuple(
        Layer(name=name, kind="Dense", output_shape=(n,), parameters=n, part="head",
              multiply_adds=n)
        for name, n in (("head_pool", 9), ("classification", 10), ("bounding_box", 4))
    )  # fmt: skip
    return ModelFacts(parameters=100, backbone_parameters=77, layers=layers + head)


def test_a_deep_network_is_drawn_in_blocks_that_add_up() -> None:
    model = with_head(deep(inside=40))
    table = layer_table(model)
    assert len(table) <= MOST_BLOCKS
    assert table["layers"].sum() == len(model.layers)
    assert table["parameters"].sum() == sum(one.parameters for one in model.layers)
    assert table["multiply_adds"].sum() == 3 * 40 * 100 + 23
    assert table["part"].tolist()[-3:] == ["head"] * 3
    plot = layers_plot(model, backbone="deep", name="layers")
    assert isinstance(plot, Plot)
    assert "364 layers are summed up in 7 blocks" in plot.caption


@pytest.mark.parametrize("inside", [24, 25, 26, 27, 60])
@pytest.mark.parametrize("depth", [0, 1, 5, 40])
def test_a_head_of_many_layers_leaves_room_for_the_backbone(inside: int, depth: int) -> None:
    # With its two outputs and the pool the head has 27 to 63 layers, about as many as blocks fit.
    body = tuple(layer(f"conv_{n}", cost=1) for n in range(depth))
    among = tuple(
        Layer(name=f"head_dense_{n}", kind="Dense", output_shape=(n,), parameters=1, part="head",
              multiply_adds=1)
        for n in range(inside)
    )  # fmt: skip
    model = with_head(body + among)
    table = layer_table(model)
    assert len(table) <= MOST_BLOCKS
    by_part = table.groupby("part")["layers"].sum().to_dict()
    assert by_part == {"head": inside + 3} | ({"backbone": depth} if depth else {})
    assert table["parameters"].sum() == sum(one.parameters for one in model.layers)
    assert table["layer"].tolist()[-2:] == ["classification", "bounding_box"]
    assert draw_layers(table).axes


def texts(model: ModelFacts) -> list[str]:
    (axes,) = draw_layers(layer_table(model)).axes
    return [text.get_text() for text in axes.texts]


def test_the_diagram_says_sizes_costs_and_the_head() -> None:
    said = texts(with_head((layer("image", "InputLayer"), layer("conv", cost=767_376))))
    assert "Conv2D  conv" in said
    assert "8 x 8 x 4" in said
    assert "767 k" in said
    assert "multiply-adds\n767 k in all" in said
    assert "head" in said
    assert "classification (10): 10 parameters, 10 multiply-adds" in said


def test_the_diagram_leaves_out_what_was_not_counted() -> None:
    said = texts(NOTEBOOK)
    assert "multiply-adds" in said, "without a sum"
    assert "parameters\n427 k in all" in said
    assert "classification (10): 1.29 k parameters" in said
    assert "head" not in said, "nothing of it stands in the column"


def test_long_names_are_cut_in_their_middle() -> None:
    (label,) = [text for text in texts(with_head((layer("x" * 40 + "y" * 40),))) if "xx" in text]
    assert label.startswith("Conv2D  x")
    assert label.endswith("y")
    assert len(label) <= 46
