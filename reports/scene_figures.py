"""Scenes: what the network saw, where the image is, and where it said that it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from harness.boxes import iou
from harness.predictions import Examples
from reports.style import (
    BLUE,
    GREY,
    PREDICTED_BOX,
    TRUE_BOX,
    VERMILION,
    WIDTH_IN,
    Omitted,
    Plot,
    drawn_name,
    new_figure,
)
from reports.wording import code

MOST_SCENES = 12
_COLUMNS = 6
_SIDES = ("x_min", "y_min", "x_max", "y_max")


def scene_table(examples: Examples, class_names: Sequence[str] = ()) -> pd.DataFrame:
    """Return one row for each scene: id, classes, boxes, IoU, and whether the class is right.

    Args:
        examples: the scenes.
        class_names: one for each class; with them there are columns of names too.
    """
    table = pd.DataFrame(
        {"id": examples.ids, "label": examples.labels, "predicted": examples.predicted_labels}
    )
    if class_names:
        for named in ("label", "predicted"):
            table[f"{named}_name"] = [class_names[k] for k in table[named]]
    for column, side in enumerate(_SIDES):
        table[f"true_{side}"] = examples.boxes[:, column].astype(np.float64)
    for column, side in enumerate(_SIDES):
        table[f"predicted_{side}"] = examples.predicted_boxes[:, column].astype(np.float64)
    table["iou"] = iou(examples.boxes, examples.predicted_boxes)
    table["right"] = examples.labels == examples.predicted_labels
    return table


def scenes_plot(
    examples: Examples, *, name: str, what: str, class_names: Sequence[str] = ()
) -> Plot:
    """Return the picture of scenes with their true boxes only.

    Args:
        examples: at least one scene.
        name: file name without ending.
        what: whose scenes, for the caption.
        class_names: one for each class; empty if they are just numbers.
    """
    table = scene_table(examples, class_names).sort_values("id").head(MOST_SCENES)
    return Plot(
        name=name,
        alt=f"{len(table)} scenes with the true box around the object in each",
        caption=f"Example scenes with their true boxes ({code(what)}).",
        table=table,
        draw=_drawer(examples, predicted=False),
    )


def boxes_plot(
    examples: Examples, *, name: str, what: str, class_names: Sequence[str] = ()
) -> Plot:
    """Return the picture of scenes with both boxes, each class marked right or wrong."""
    table = scene_table(examples, class_names).sort_values("id").head(MOST_SCENES)
    return Plot(
        name=name,
        alt=f"{len(table)} scenes with true and predicted boxes; the class was right in "
        f"{int(table['right'].sum())} of them",
        caption=f"True against predicted boxes ({code(what)}): the first scenes by number, "
        "not chosen by how well they went.",
        table=table,
        draw=_drawer(examples, predicted=True),
    )


def right_wrong_plot(
    examples: Examples, *, name: str, what: str, class_names: Sequence[str] = ()
) -> Plot | Omitted:
    """Return the picture of rightly classified scenes above wrongly classified ones."""
    table = scene_table(examples, class_names)
    right, wrong = table[table["right"]], table[~table["right"]]
    if wrong.empty:
        return Omitted(
            name=name, reason=f"all {len(table)} scenes kept ({what}) were classified right"
        )
    shown = pd.concat([right.head(_COLUMNS), wrong.head(_COLUMNS)])
    return Plot(
        name=name,
        alt=f"{min(len(right), _COLUMNS)} scenes classified right, then "
        f"{min(len(wrong), _COLUMNS)} classified wrong",
        caption=f"Right against wrong classifications ({code(what)}), among the {len(table)} "
        f"scenes kept: {len(right)} right, {len(wrong)} wrong. They are no sample; for shares "
        "see the confusion matrix.",
        table=shown,
        draw=_drawer(examples, predicted=True),
    )


def worst_plot(
    examples: Examples, *, name: str, what: str, class_names: Sequence[str] = ()
) -> Plot | Omitted:
    """Return the scenes of the worst predictions: wrong classes first, then the least IoU."""
    table = scene_table(examples, class_names)
    if len(table) <= MOST_SCENES:
        reason = f"only {len(table)} scenes were kept ({what}): they are all above"
        return Omitted(name=name, reason=reason)
    shown = table.sort_values(["right", "iou", "id"]).head(MOST_SCENES)
    return Plot(
        name=name,
        alt=f"The {len(shown)} worst of {len(table)} scenes; the class is wrong in "
        f"{int((~shown['right']).sum())} of them, the lowest IoU is {shown['iou'].min():.2f}",
        caption=f"The worst predictions ({code(what)}) among the {len(table)} scenes kept: wrong "
        "classes first, then the least IoU.",
        table=shown,
        draw=_drawer(examples, predicted=True),
    )


def _drawer(examples: Examples, *, predicted: bool) -> Callable[[pd.DataFrame], Figure]:
    images = dict(zip(examples.ids.tolist(), examples.images, strict=True))
    return partial(_draw, images=images, predicted=predicted)


def _draw(table: pd.DataFrame, *, images: Mapping[int, np.ndarray], predicted: bool) -> Figure:
    return draw_scenes(table, [images[i] for i in table["id"]], predicted=predicted)


def draw_scenes(table: pd.DataFrame, images: Sequence[np.ndarray], *, predicted: bool) -> Figure:
    """Draw a grid of scenes; a new row starts where the scenes turn from right to wrong.

    Args:
        table: of `scene_table`.
        images: uint8 `[height, width]`, one for each row of the table.
        predicted: whether to draw predicted boxes and classes too.
    """
    rows = -(-len(table) // _COLUMNS)
    turn = table["right"].ne(table["right"].shift()).cumsum() - 1
    by_outcome = predicted and bool(turn.max() == 1) and len(table) <= 2 * _COLUMNS
    grouped = by_outcome and all(int((turn == t).sum()) <= _COLUMNS for t in (0, 1))
    rows = 2 if grouped else rows
    named = 0.3 * rows if "label_name" in table and predicted else 0.0  # names take lines
    figure = new_figure(rows * WIDTH_IN / _COLUMNS * 1.17 + 0.4 + named)
    grid = figure.subplots(rows, _COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    places = turn * _COLUMNS + table.groupby(turn).cumcount() if grouped else range(len(table))
    for place, image, (_, scene) in zip(places, images, table.iterrows(), strict=True):
        _draw_scene(grid.flat[int(place)], scene, image, predicted=predicted)
    handles = [Line2D([], [], color=TRUE_BOX, lw=2, label="true box")]
    if predicted:
        handles.append(Line2D([], [], color=PREDICTED_BOX, lw=2, ls="--", label="predicted box"))
        handles.append(Line2D([], [], ls="", marker="$✓$", color=BLUE, label="class right"))
        handles.append(Line2D([], [], ls="", marker="$✗$", color=VERMILION, label="class wrong"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _draw_scene(axes: Axes, scene: pd.Series, image: np.ndarray, *, predicted: bool) -> None:
    height, width = image.shape[:2]
    axes.set_axis_on()
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    _draw_box(axes, [scene[f"true_{s}"] for s in _SIDES], width, height, TRUE_BOX, "-")
    true, said = _title_names(scene)
    title, colour = true, "black"
    if predicted:
        _draw_box(axes, [scene[f"predicted_{s}"] for s in _SIDES], width, height,
                  PREDICTED_BOX, "--")  # fmt: skip
        right = bool(scene["right"])
        colour = BLUE if right else VERMILION
        numbers = "label_name" not in scene
        judged = f"✓ {true}" if right else f"✗ {true}{' ' if numbers else chr(10)}as {said}"
        title = f"{judged}{', ' if numbers else chr(10)}IoU {scene['iou']:.2f}"
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(colour if predicted else GREY)
        spine.set_linewidth(1.6 if predicted else 0.8)
    axes.set_title(title, fontsize=8.5, color=colour, loc="center", fontweight="normal")


def _title_names(scene: pd.Series) -> tuple[str, str]:
    """Return what a title calls the true and the predicted class; long names cut."""
    if "label_name" not in scene:
        return f"{scene['label']}", f"{scene['predicted']}"
    return drawn_name(scene["label_name"]), drawn_name(scene["predicted_name"])


def _draw_box(
    axes: Axes, box: Sequence[float], width: int, height: int, colour: str, line: str
) -> None:
    # Pixel centres lie on whole numbers, so the image starts at -0.5.
    left, top, right, bottom = box
    corner = (left * width - 0.5, top * height - 0.5)
    sides = ((right - left) * width, (bottom - top) * height)
    axes.add_patch(Rectangle(corner, *sides, fill=False, edgecolor=colour, linestyle=line, lw=1.8))
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
