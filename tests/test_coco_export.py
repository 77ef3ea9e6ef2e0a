import contextlib
import io

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from harness.coco import read_coco
from harness.coco_export import export_coco
from harness.errors import StoreError, UsageError

RNG = np.random.default_rng(7)
LABELS = np.array([2, 0, 1, 2])
CORNERS = np.sort(RNG.uniform(0, 1, (4, 2, 2)), axis=1)
BOXES = CORNERS.reshape(4, 4).astype(np.float32)
NAMES = ("ant", "bee", "cat")


def images(channels):
    shape = (4, 30, 40) if channels == 1 else (4, 30, 40, 3)
    return RNG.integers(0, 256, shape, np.uint8)


def loaded(file):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(file))


@pytest.mark.parametrize("channels", [1, 3])
def test_pycocotools_reads_what_was_written(tmp_path, channels):
    drawn = images(channels)
    file = export_coco(
        tmp_path, drawn, BOXES, LABELS, NAMES, prefix="test-",
        attributes={"angle": np.array([1.5, 2, 3, 4]), "noisy": [True, False, True, False]},
    )  # fmt: skip
    coco = loaded(file)
    assert [each["name"] for each in coco.loadCats(coco.getCatIds())] == list(NAMES)
    for index in range(4):
        (entry,) = coco.loadImgs(index)
        assert (entry["width"], entry["height"]) == (40, 30)
        with Image.open(tmp_path / "images" / entry["file_name"]) as image:
            assert (np.asarray(image) == drawn[index]).all()
        (annotation,) = coco.loadAnns(coco.getAnnIds(imgIds=index))
        x, y, w, h = annotation["bbox"]
        edges = np.array([x, y, x + w, y + h]) / [40, 30, 40, 30]
        np.testing.assert_allclose(edges, BOXES[index], rtol=1e-15)
        assert annotation["area"] == w * h
        assert annotation["category_id"] == LABELS[index] + 1
    assert coco.anns[1]["attributes"] == {"angle": 1.5, "noisy": True}


def test_bench_reads_what_it_wrote(tmp_path):
    found = read_coco(export_coco(tmp_path, images(3), BOXES, LABELS, NAMES))
    assert found.problems == ()
    for index, image in enumerate(found.images):
        (only,) = image.objects
        assert only.name == NAMES[LABELS[index]]
        np.testing.assert_allclose(
            only.box, BOXES[index] * np.array([40.0, 30, 40, 30]), rtol=1e-15
        )


def test_no_attributes_are_no_entry(tmp_path):
    coco = loaded(export_coco(tmp_path, images(1), BOXES, LABELS, NAMES))
    assert "attributes" not in coco.anns[1]


@pytest.mark.parametrize(
    ("boxes", "attributes", "why"),
    [
        (BOXES[:3], None, r"one label for each of 4 images, got 3 boxes and 4 labels\."),
        (BOXES, {"angle": [1, 2]}, r"one 'angle' for each of 4 images, got 2\."),
    ],
)
def test_counts_must_agree(tmp_path, boxes, attributes, why):
    with pytest.raises(UsageError, match=why):
        export_coco(tmp_path, images(1), boxes, LABELS, NAMES, attributes=attributes)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "images").touch()
    with pytest.raises(StoreError, match="cannot be written"):
        export_coco(tmp_path, images(1), BOXES, LABELS, NAMES)
