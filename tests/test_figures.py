"""Tables behind the pictures against hand counts; every picture drawn for every odd case."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from records import DATA, NOTEBOOK, fabricate, fabricate_sweep, scenes

from harness.config import RunConfig
from harness.predictions import EXAMPLES_FILE, Examples, Predictions, predictions_file
from harness.record import Layer, ModelFacts
from reports.compare import compare
from reports.diagram import layer_table, layers_plot, shape_text
from reports.evidence import Evidence, Outcomes, load
from reports.illustrate import illustrate, omissions
from reports.pictures import choose_pictures, none_known
from reports.race_figures import race_plot
from reports.run_figures import curve_table, curves_plot
from reports.scene_figures import (
    boxes_plot,
    right_wrong_plot,
    scene_table,
    scenes_plot,
    worst_plot,
)
from reports.searches import Search
from reports.style import Omitted, Plot, legend_columns
from reports.sweep_figures import fields_plot, importance_plot, trial_table, trials_plot
from reports.verdict_figures import (
    confusion_plot,
    confusion_table,
    iou_plot,
    iou_table,
    score_plot,
)


def picture(plot: Plot | Omitted, *, width_px: int = 1350) -> np.ndarray:
    """Draw a plot and return its pixels; it must be a picture with something on it."""
    assert isinstance(plot, Plot)
    pixels = matplotlib.image.imread(io.BytesIO(plot.png()))
    assert pixels.shape[1] == width_px
    assert pixels.std() > 0.01
    return np.asarray(pixels)


def outcomes(
    labels: list[int], predicted: list[int], iou: list[float],
    confidence: list[float] | None = None,
) -> Outcomes:  # fmt: skip
    n = len(labels)
    return Outcomes(
        ids=np.arange(n), labels=np.array(labels), predicted=np.array(predicted),
        confidence=np.full(n, 0.9) if confidence is None else np.array(confidence),
        boxes=np.zeros((n, 4), np.float32), iou=np.array(iou),
    )  # fmt: skip


def sweep(folder: Path, trials: int) -> Search:
    runs = fabricate_sweep(folder, "s", trials=trials)
    return compare(load(*run) for run in runs).searches[0]


def test_confusion_counts_by_hand(tmp_path: Path) -> None:
    record, folder = fabricate(tmp_path, "x")
    item = Evidence(record=record, folder=folder,
                    outcomes=outcomes([0, 0, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1]))  # fmt: skip
    found = confusion_table([item, item])  # two seeds are pooled
    assert found["images"].tolist() == [4, 2, 0, 2]
    assert found["share"].tolist() == pytest.approx([2 / 3, 1 / 3, 0, 1])


def test_classes_are_called_by_their_names(tmp_path: Path) -> None:
    names = ("T-shirt/top", "cost in $", *(f"a rather long name of class {k}" for k in range(8)))
    data = dataclasses.replace(DATA, class_names=names)
    record, folder = fabricate(tmp_path, "x", data=data, accuracy=0.7)
    plot = confusion_plot([load(record, folder)], who="x", name="confusion")
    assert isinstance(plot, Plot)
    assert plot.table["true_name"].drop_duplicates().tolist() == list(names)
    assert (plot.table["predicted_name"] == [names[k] for k in plot.table["predicted"]]).all()
    picture(plot, width_px=990)
    examples = Examples.load(folder / EXAMPLES_FILE)
    for make in (scenes_plot, boxes_plot, right_wrong_plot, worst_plot):
        drawn = make(examples, name="scenes", what="x", class_names=names)
        assert isinstance(drawn, Plot)
        assert (drawn.table["label_name"] == [names[k] for k in drawn.table["label"]]).all()
        picture(drawn)


@pytest.mark.parametrize("classes", [2, 17, 60])
def test_confusions_of_any_number_of_classes_are_drawn(tmp_path: Path, classes: int) -> None:
    rng = np.random.default_rng(0)
    labels = [*range(classes), *rng.integers(0, classes, 50).tolist()]
    record, folder = fabricate(tmp_path, "x")
    names = tuple(f"c{k}" for k in range(classes))
    for known in ((), names):
        of = dataclasses.replace(record, data=dataclasses.replace(DATA, class_names=known))
        item = Evidence(record=of, folder=folder, outcomes=outcomes(
            labels, labels[::-1], [1.0] * len(labels)))  # fmt: skip
        picture(confusion_plot([item], who="x", name="confusion"), width_px=990)


def test_iou_shares_by_hand() -> None:
    found = iou_table([("a", [outcomes([0] * 4, [0] * 4, [0.0, 0.5, 0.6, 1.0])])])
    at = found.set_index(found["iou_low"].round(3))["at_least"]
    assert at[0.0] == pytest.approx(1.0)
    assert at[0.5] == pytest.approx(0.75)  # 0.5 itself counts as at least 0.5
    assert at[0.6] == pytest.approx(0.5)
    assert at[0.975] == pytest.approx(0.25)  # 1.0 lies in the last bin
    assert found["share"].sum() == pytest.approx(1.0)


def test_curve_table_keeps_every_point(tmp_path: Path) -> None:
    record, _ = fabricate(tmp_path, "x", epochs=4)
    found = curve_table([("a", record)])
    assert len(found) == 4 * 5  # four epochs of train loss and four validation metrics
    point = found[(found["metric"] == "score") & (found["epoch"] == 3)]
    assert point["value"].item() == record.history[2].metrics["validation_score"]
    assert set(found["split"]) == {"train", "validation"}


def test_trial_table_follows_the_best(tmp_path: Path) -> None:
    found = trial_table(sweep(tmp_path, 9))
    scores = found["score"].where(found["status"] == "finished")
    best: list[float] = []
    for score in scores:
        best.append(max([v for v in (*best[-1:], score) if v == v], default=float("nan")))
    assert found["best_so_far"].tolist() == pytest.approx(best, nan_ok=True)
    assert found["status"].tolist()[3] == "pruned"
    assert found["score"].notna().tolist()[3]  # a pruned trial keeps its last score
    assert not found["score"].notna().tolist()[5]  # a failed one has none


def test_scene_table_by_hand() -> None:
    square = np.array([[0, 0, 0.5, 0.5]] * 2, np.float32)
    half = np.array([[0, 0, 0.5, 0.25]] * 2, np.float32)
    examples = Examples(
        ids=np.array([7, 9]), images=np.zeros((2, 75, 75), np.uint8), labels=np.array([1, 2]),
        predicted_labels=np.array([1, 3]), boxes=square, predicted_boxes=half,
    )  # fmt: skip
    found = scene_table(examples)
    assert found["iou"].tolist() == pytest.approx([0.5, 0.5])  # half of the square is covered
    assert found["right"].tolist() == [True, False]


def test_layer_table_and_shapes() -> None:
    found = layer_table(NOTEBOOK)
    assert found["parameters"].sum() == sum(layer.parameters for layer in NOTEBOOK.layers)
    assert shape_text((73, None, 16)) == "73 x ? x 16"


@pytest.mark.parametrize("accuracy", [0.0, 0.7, 1.0])
def test_scenes_are_drawn_however_many_are_right(tmp_path: Path, accuracy: float) -> None:
    _, folder = fabricate(tmp_path, "x", accuracy=accuracy)
    examples = Examples.load(folder / EXAMPLES_FILE)
    picture(scenes_plot(examples, name="scenes", what="x"))
    picture(boxes_plot(examples, name="boxes", what="x"))
    both = right_wrong_plot(examples, name="rw", what="x")
    if accuracy == 1.0:
        assert isinstance(both, Omitted)
        assert "all 24 scenes" in both.reason
    else:
        picture(both)


def test_a_single_scene_is_enough(tmp_path: Path) -> None:
    _, folder = fabricate(tmp_path, "x")
    predictions = Predictions.load(folder / predictions_file("test"))
    picture(boxes_plot(scenes(predictions, count=1), name="boxes", what="x"))


def test_boxes_are_drawn_where_they_are(tmp_path: Path) -> None:
    """The true box is green: its colour must appear only around the digit's place."""
    box = np.array([[0.2, 0.2, 0.5, 0.5]], np.float32)
    examples = Examples(
        ids=np.array([0]), images=np.zeros((1, 75, 75), np.uint8), labels=np.array([1]),
        predicted_labels=np.array([1]), boxes=box, predicted_boxes=box,
    )  # fmt: skip
    pixels = picture(scenes_plot(examples, name="scenes", what="x"))[..., :3]
    is_black = pixels.sum(axis=2) < 0.05
    # The scene is the only place with long black rows and columns; text has short ones.
    is_black &= (is_black.sum(axis=1) > 50)[:, None] & (is_black.sum(axis=0) > 50)
    black = np.argwhere(is_black)
    top, left = black.min(axis=0)
    size = black.max(axis=0) - (top, left)
    green = np.abs(pixels - np.array([0x00, 0x9E, 0x73]) / 255).max(axis=2) < 0.05
    inside = np.argwhere(green[top : top + size[0], left : left + size[1]]) / size
    # A line is about 4 of 220 pixels wide.
    assert inside.min(axis=0) == pytest.approx([0.2, 0.2], abs=0.02)
    assert inside.max(axis=0) == pytest.approx([0.5, 0.5], abs=0.02)


@pytest.mark.parametrize("trials", [1, 2, 50])
def test_sweeps_of_any_size_are_drawn(tmp_path: Path, trials: int) -> None:
    search = sweep(tmp_path, trials)
    picture(trials_plot(search, name="trials"))
    fields = fields_plot(search, name="fields")
    if trials == 1:
        assert isinstance(fields, Omitted)  # one trial varies nothing
    else:
        picture(fields)


def test_a_search_over_names_is_drawn(tmp_path: Path) -> None:
    runs = [
        fabricate(tmp_path, f"t{n}", config=RunConfig(backbone=name, dataset="mnist"),
                  role="trial", sweep="s", trial=n)
        for n, name in enumerate(["notebook-cnn", "readme-cnn", "notebook-cnn"])
    ]  # fmt: skip
    (search,) = compare(load(*run) for run in runs).searches
    picture(fields_plot(search, name="fields"), width_px=825)


def mixed_search(folder: Path) -> Search:
    """A search over names, whole numbers, recurring and fresh fractions; trial 3 failed."""
    heads, sizes, rates = ("dense", "soft-argmax"), (16, 64), (0.001, 0.01)
    runs = [
        fabricate(
            folder, f"t{n}", role="trial", sweep="s", trial=n,
            status="pruned" if n == 2 else "failed" if n == 3 else "finished",
            reason="why" if n in (2, 3) else None, accuracy=0.5 + 0.05 * n,
            config=RunConfig(
                dataset="mnist", head="pooled" if n == 3 else heads[n % 2], depth=1 + n % 3,
                batch_size=sizes[n // 4], learning_rate=rates[n % 2], width=0.3 + 0.01 * n,
            ),
        )
        for n in range(8)
    ]  # fmt: skip
    (search,) = compare(load(*run) for run in runs).searches
    return search


def test_a_mixed_search_is_drawn_by_kind_of_field(tmp_path: Path) -> None:
    plot = fields_plot(mixed_search(tmp_path), name="fields")
    picture(plot)
    assert isinstance(plot, Plot)
    panels = {axes.get_xlabel(): axes for axes in plot.draw(plot.table).axes}
    assert list(panels)[:5] == ["head", "width", "depth", "learning_rate", "batch_size"]

    def strips(field: str) -> list[str]:
        return [label.get_text() for label in panels[field].get_xticklabels()]

    # Trial 3, the only pooled one, never scored; of the others 0, 2, 4 and 6 are dense.
    assert strips("head") == ["dense\nn = 4", "pooled\nn = 0", "soft-argmax\nn = 3"]
    assert strips("depth") == ["1\nn = 2", "2\nn = 3", "3\nn = 2"]
    assert strips("batch_size") == ["16\nn = 3", "64\nn = 4"]
    assert strips("learning_rate") == ["0.001\nn = 4", "0.01\nn = 3"]
    assert "n =" not in "".join(strips("width"))


def test_a_field_of_some_backbones_shows_their_trials_alone(tmp_path: Path) -> None:
    runs = [
        fabricate(
            tmp_path, f"t{n}", role="trial", sweep="s", trial=n,
            config=RunConfig(
                dataset="mnist", learning_rate=0.001 * (1 + n),
                backbone="residual-s" if n % 2 else "notebook-cnn",
                depth=1 + n // 4 if n % 2 else None, width=0.5 + 0.01 * n if n % 2 else None,
            ),
        )
        for n in range(8)
    ]  # fmt: skip
    (search,) = compare(load(*run) for run in runs).searches
    plot = fields_plot(search, name="fields")
    picture(plot)
    assert isinstance(plot, Plot)
    panels = {axes.get_xlabel(): axes for axes in plot.draw(plot.table).axes}
    strips = [label.get_text() for label in panels["depth"].get_xticklabels()]
    assert strips == ["1\nn = 2", "2\nn = 2"]
    assert sum(len(line.get_xdata()) for line in panels["width"].lines) == 4


def test_the_bar_of_a_strip_is_the_median_of_what_finished(tmp_path: Path) -> None:
    search = mixed_search(tmp_path)
    plot = fields_plot(search, name="fields")
    assert isinstance(plot, Plot)
    axes = plot.draw(plot.table).axes[0]
    score = {trial.number: trial.value for trial in search.trials if trial.value is not None}
    # Of the dense ones 0, 4 and 6 finished, none of the pooled, of the others 1, 5 and 7.
    (bars,) = (c for c in axes.collections if c.get_label() == "median of finished")
    ends = [np.asarray(path.vertices) for path in bars.get_paths()]
    drawn = {round(each[:, 0].mean()): each[0, 1] for each in ends}
    assert drawn == {
        0: pytest.approx(sorted(score[n] for n in (0, 4, 6))[1]),
        2: pytest.approx(sorted(score[n] for n in (1, 5, 7))[1]),
    }


def test_many_names_are_drawn_aslant(tmp_path: Path) -> None:
    names = [f"a-rather-long-name-{n}" for n in range(10)]
    runs = [
        fabricate(tmp_path, f"t{n}", config=RunConfig(backbone=name, dataset="mnist"),
                  role="trial", sweep="s", trial=n)
        for n, name in enumerate(names)
    ]  # fmt: skip
    (search,) = compare(load(*run) for run in runs).searches
    plot = fields_plot(search, name="fields")
    picture(plot, width_px=825)
    assert isinstance(plot, Plot)
    labels = plot.draw(plot.table).axes[0].get_xticklabels()
    assert {label.get_rotation() for label in labels} == {30}


def test_all_trials_failed_is_still_a_picture(tmp_path: Path) -> None:
    runs = [
        fabricate(tmp_path, f"t{n}", config=RunConfig(learning_rate=10.0**-n), role="trial",
                  status="failed", reason="NaN", sweep="s", trial=n)
        for n in range(3)
    ]  # fmt: skip
    (search,) = compare(load(*run) for run in runs).searches
    picture(trials_plot(search, name="trials"))
    assert isinstance(fields_plot(search, name="fields"), Omitted)


def test_importances_are_drawn_or_said_to_be_absent() -> None:
    picture(importance_plot({"b": 0.2, "a": 0.8}, sweep="s", name="i"), width_px=1050)
    picture(importance_plot({"b": 0.0}, sweep="s", name="i"), width_px=1050)
    missing = importance_plot("all finished trials reached the same", sweep="s", name="i")
    assert isinstance(missing, Omitted)
    assert missing.reason == "unknown in sweep s: all finished trials reached the same"


def test_curves_of_one_epoch_and_of_seeds(tmp_path: Path) -> None:
    short, _ = fabricate(tmp_path, "x", epochs=1)
    alone = curves_plot([("a", short)], name="curves")
    assert isinstance(alone, Omitted)
    assert alone.reason == "a curve needs two epochs, and no run has more than one"
    longer, _ = fabricate(tmp_path, "y", epochs=2)
    picture(curves_plot([("a", short), ("b", longer)], name="curves"))
    seeds = [("a", fabricate(tmp_path, f"x{n}")[0]) for n in range(3)]
    plot = curves_plot(seeds, name="curves")
    assert isinstance(plot, Plot)
    assert "The band reaches" in plot.caption
    failed, _ = fabricate(tmp_path, "f", status="failed", reason="NaN")
    assert isinstance(curves_plot([("a", failed)], name="curves"), Omitted)


def test_a_race_counts_training_seconds_of_one_machine(tmp_path: Path) -> None:
    runs = [(name, fabricate(tmp_path, f"r{name}", epochs=3)[0]) for name in "ab"]
    plot = race_plot(runs, name="race", machines=1)
    picture(plot)
    assert isinstance(plot, Plot)
    history = runs[0][1].history
    mine = plot.table[(plot.table["contender"] == "a") & (plot.table["metric"] == "mean_iou")]
    assert mine["train_s"].tolist() == pytest.approx(
        [sum(point.train_s for point in history[:n]) for n in (1, 2, 3)]
    )
    assert mine["value"].tolist() == [p.metrics["validation_mean_iou"] for p in history]
    apart = race_plot(runs, name="race", machines=2)
    assert isinstance(apart, Omitted)
    assert apart.reason == "the runs were timed on 2 machines, whose seconds cannot be compared"
    short = [("a", fabricate(tmp_path, "s", epochs=1)[0])]
    assert isinstance(race_plot(short, name="race", machines=1), Omitted)


def test_scores_and_iou_of_six_contenders(tmp_path: Path) -> None:
    items = [
        load(*fabricate(tmp_path, name, config=RunConfig(backbone=name), noise=0.02 * n))
        for n, name in enumerate(f"net-{n}" for n in range(6))
    ]
    (board,) = compare(items).tables
    picture(score_plot(board.contenders, name="scores"))
    groups = [(e.record.config.backbone, [e.outcomes]) for e in items if e.outcomes is not None]
    picture(iou_plot(groups, name="iou"))
    assert isinstance(score_plot(board.contenders[:1], name="scores"), Omitted)


def test_pictures_of_many_contenders_say_whom_they_leave_out(tmp_path: Path) -> None:
    items = [
        load(*fabricate(tmp_path, f"net-{n}", config=RunConfig(backbone=f"net-{n}"), epochs=2))
        for n in range(8)
    ]
    pictures = choose_pictures(compare(items), items, none_known)
    plots = {titled.title: titled.plot for titled in pictures.tables[0]}
    assert all(isinstance(plot, Plot) for plot in plots.values())
    assert len(plots["Scores"].table) == 8
    for title in ("Training curves", "IoU distribution"):
        assert plots[title].caption.startswith("The best 6 of 8 contenders. ")
        assert plots[title].table["contender"].nunique() == 6


def test_deep_networks_are_shortened() -> None:
    many = tuple(
        Layer(name=f"block_{n}", kind="Conv2D", output_shape=(8, 8, 64), parameters=10)
        for n in range(200)
    )
    deep = ModelFacts(parameters=2000, backbone_parameters=2000, layers=many)
    pixels = picture(layers_plot(deep, backbone="deep", name="layers"), width_px=1050)
    assert pixels.shape[0] < 1500
    assert isinstance(layers_plot(None, backbone="x", name="layers"), Omitted)


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    record, _ = fabricate(tmp_path, "x")
    plots = [curves_plot([("a", record)], name="curves") for _ in range(2)]
    first, second = (p for p in plots if isinstance(p, Plot))
    assert first.png() == second.png()
    assert first.csv() == second.csv()
    assert first.csv().startswith(b"contender,run_id,seed,epoch,split,metric,value\n")


def test_a_users_style_does_not_change_a_picture(tmp_path: Path) -> None:
    record, _ = fabricate(tmp_path, "x")
    plot = curves_plot([("a", record)], name="curves")
    assert isinstance(plot, Plot)
    plain = plot.png()
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30}):
        assert plot.png() == plain
        assert matplotlib.rcParams["font.size"] == 30


def test_illustrate_draws_into_the_run_folder(tmp_path: Path) -> None:
    record, folder = fabricate(tmp_path, "x")
    paths = illustrate(record, folder)
    assert [path.name for path in paths] == ["curves.png", "boxes.png", "layers.png"]
    assert all(path.parent == folder and path.read_bytes()[1:4] == b"PNG" for path in paths)
    assert omissions(record, folder) == {}


def test_illustrate_leaves_out_what_it_has_no_data_for(tmp_path: Path) -> None:
    record, folder = fabricate(tmp_path, "f", status="failed", reason="NaN")
    assert illustrate(record, folder) == []
    assert omissions(record, folder) == {
        "curves": "no run has a training history",
        "boxes": "run f: it kept no example scenes",
        "layers": "no run of notebook-cnn says what its layers are",
    }
    (folder / EXAMPLES_FILE).write_bytes(b"broken")
    assert omissions(record, folder)["boxes"] == "run f: its example scenes cannot be read"


def test_more_than_ten_classes_are_counted(tmp_path: Path) -> None:
    data = dataclasses.replace(DATA, classes=12)
    record, folder = fabricate(tmp_path, "x", data=data, accuracy=0.7)
    item = Evidence(record=record, folder=folder, outcomes=outcomes([11], [0], [1.0]))
    assert len(confusion_table([item])) == 144


def test_a_legend_never_leaves_the_figure() -> None:
    assert legend_columns(["a", "b", "c"]) == 3
    assert legend_columns(["train", "x" * 70, "y" * 20]) == 1
    assert legend_columns(["x" * 500]) == 1
