import json
import shutil
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tiny_photos import CLASSES, photos, write_coco, write_csv, write_voc

from harness.annotated_sources import read_annotations
from harness.box_stats import box_stats
from harness.errors import DataError, UsageError
from harness.image_set import load_images
from harness.image_survey import survey
from harness.letterbox import to_source

DRAWN = photos(60)
NAMES = [photo.name for photo in DRAWN]


@pytest.fixture(scope="module")
def csv_set(tmp_path_factory):
    return write_csv(tmp_path_factory.mktemp("photos"), DRAWN)


@pytest.fixture
def copy_of(csv_set, tmp_path):
    """Return a copy of the set's folder that a test may spoil, and its source."""
    folder = tmp_path / "copy"
    shutil.copytree(csv_set.removeprefix("csv:").removesuffix("/boxes.csv"), folder)
    return folder, f"csv:{folder / 'boxes.csv'}"


def stem(name: str) -> str:
    return name.partition(".")[0]


def undecodable(path, size=(64, 64)):
    """Write a PNG with sound chunks and headers whose pixels are garbage."""

    def chunk(kind, content):
        length, body = struct.pack(">I", len(content)), kind + content
        return length + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">2I5B", *size, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", b"garbage") + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


@pytest.mark.parametrize("write", [write_voc, write_coco, write_csv])
def test_boxes_and_classes_are_those_drawn(tmp_path, write):
    data = load_images(write(tmp_path, DRAWN), canvas_px=64)
    assert data.class_names == CLASSES
    assert (len(data.train), len(data.validation)) == (43, 5)
    assert data.left_out.words() == ""
    by_name = {photo.name: photo for photo in DRAWN}
    names = []
    for part in (data.train, data.validation, data.open_test()):
        back = to_source(part.boxes, part.placement)
        for name, label, box in zip(part.names, part.labels, back, strict=True):
            main = by_name[stem(name)].things[0]
            assert data.class_names[label] == main.name
            # float32 fractions of up to 160 pixels
            np.testing.assert_allclose(box, main.box, atol=160 * 2**-23)
            names.append(stem(name))
        assert part.images.shape == (len(part), 64, 64, 3)
        assert part.boxes.dtype == np.float32
    assert sorted(names) == NAMES


def test_the_shape_is_where_the_box_says(csv_set):
    data = load_images(csv_set, canvas_px=96)
    for index in np.flatnonzero(data.train.labels == CLASSES.index("square")):
        x0, y0, x1, y1 = (data.train.boxes[index] * 96).round().astype(int)
        inside = data.train.images[index][y0 + 2 : y1 - 2, x0 + 2 : x1 - 2]
        assert np.ptp(inside.reshape(-1, 3), axis=0).max() <= 1, "one colour, but for rounding"


def test_equal_content_is_equal_data_whatever_the_format(csv_set, tmp_path):
    one, other = (load_images(s, canvas_px=32) for s in (csv_set, write_coco(tmp_path, DRAWN)))
    assert one.digest == other.digest
    assert [stem(name) for name in one.train.names] == [stem(name) for name in other.train.names]
    one.open_test(), other.open_test()
    assert one.test_digest == other.test_digest


def test_the_digest_sees_boxes_pixels_size_and_channels(csv_set, copy_of):
    folder, copied = copy_of
    base = load_images(csv_set, canvas_px=32)
    digests = [
        base.digest,
        load_images(csv_set, canvas_px=33).digest,
        load_images(csv_set, canvas_px=32, channels=1).digest,
    ]
    trained = base.train.names[0]
    with Image.open(folder / trained) as image:
        image.putpixel((0, 0), (1, 2, 3))
        image.save(folder / trained)
    digests.append(load_images(copied, canvas_px=32).digest)
    table = (folder / "boxes.csv").read_text().splitlines()
    line = next(at for at, row in enumerate(table) if row.startswith(trained))
    cells = table[line].split(",")
    table[line] = ",".join([*cells[:2], str(int(cells[2]) + 1), *cells[3:]])
    (folder / "boxes.csv").write_text("\n".join(table))
    digests.append(load_images(copied, canvas_px=32).digest)
    assert len(set(digests)) == 5
    assert load_images(csv_set, canvas_px=32, data_seed=9).digest == base.digest
    assert all(len(digest) == 32 for digest in digests)


def test_seeds_change_training_and_validation_and_never_the_test(csv_set):
    one, other = (load_images(csv_set, canvas_px=16, data_seed=seed) for seed in (0, 1))
    assert set(one.validation.names) != set(other.validation.names)
    assert one.open_test().names == other.open_test().names


def test_subsets_are_nested_and_grey_has_no_channel(csv_set):
    small, large = (
        load_images(csv_set, canvas_px=16, channels=1, train_examples=n) for n in (6, 20)
    )
    assert large.train.names[:6] == small.train.names
    assert small.train.images.shape == (6, 16, 16)
    assert set(small.train.labels) == {0, 1, 2}
    assert small.validation.names == large.validation.names


@pytest.mark.parametrize("n", [2, 44])
def test_a_subset_must_fit(csv_set, n):
    with pytest.raises(UsageError, match=r"must be 3 \(one per class\) to 43 on csv:.*, got"):
        load_images(csv_set, canvas_px=16, train_examples=n)


def test_modes_of_the_cache_give_the_same_bytes(csv_set, tmp_path):
    sets = [
        load_images(csv_set, canvas_px=24, cache=mode, cache_dir=tmp_path / "cache")
        for mode in ("memory", "disk", "none")
    ]
    for part in ("train", "validation"):
        assert len({getattr(data, part).images[:].tobytes() for data in sets}) == 1
    assert len({data.open_test().images[:].tobytes() for data in sets}) == 1
    assert len({data.digest for data in sets}) == 1
    assert len(list((tmp_path / "cache").glob("*.pixels"))) == 2


@pytest.mark.parametrize("mode", ["memory", "disk", "none"])
def test_the_test_pixels_stay_sealed(tmp_path, mode):
    splits = ["test" if at % 4 == 0 else "train" for at in range(len(DRAWN))]
    source = write_csv(tmp_path, DRAWN, splits=splits)
    undecodable(tmp_path / "000008.png", DRAWN[8].image.size)
    keep = {"canvas_px": 16, "cache": mode, "cache_dir": tmp_path / "cache"}
    data = load_images(source, **keep)
    assert (data.test_opened, data.n_test, data.test_digest) == (False, None, None)
    with pytest.raises(DataError, match=r"000008\.png \(boxes\.csv:\d+\): the image"):
        data.open_test()
    assert not data.test_opened
    lenient = load_images(source, **keep, skip_bad=True)
    assert lenient.left_out.faults == ()
    test = lenient.open_test()
    assert lenient.open_test() is test
    assert (lenient.test_opened, lenient.n_test, len(test)) == (True, 14, 14)
    assert lenient.left_out.words() == "1 fault passed over"
    assert "000008.png" not in test.names
    assert test.images[:].any(axis=(1, 2, 3)).all()


def spoil(folder):
    """Spoil photos in one way each; return the words that must be told of each."""
    table = (folder / "boxes.csv").read_text().splitlines()
    row_of = {row.partition(".")[0]: at for at, row in enumerate(table)}

    def rewrite(name, *cells):
        table[row_of[name]] = ",".join([f"{name}.png", *map(str, cells)])

    rewrite("000001", "disc", 9, 1, 3, 20)
    rewrite("000002", "disc", 0, 0, 500, 20)
    rewrite("000004", "disc", "nan", 0, 10, 20)
    rewrite("000005", "", 1, 1, 10, 20)
    (folder / "000007.png").unlink()
    (folder / "000008.png").write_bytes((folder / "000010.png").read_bytes()[:200])
    (folder / "000011.png").write_text("no image")
    undecodable(folder / "000013.png", DRAWN[13].image.size)
    rewrite("000014", "", "", "", "", "")
    (folder / "boxes.csv").write_text("\n".join(table))
    return [
        f"boxes.csv:{row_of['000005'] + 1}: the label must not be empty",
        f"boxes.csv:{row_of['000007'] + 1}: image '000007.png' does not exist",
        f"000008.png (boxes.csv:{row_of['000008'] + 1}): the image file is cut off or damaged",
        f"000011.png (boxes.csv:{row_of['000011'] + 1}): it must be an image (",
        f"boxes.csv:{row_of['000001'] + 1} (disc): the box must have x_min < x_max",
        f"boxes.csv:{row_of['000002'] + 1} (disc): the box must lie in the image",
        f"boxes.csv:{row_of['000004'] + 1} (disc): the box must have finite edges",
        f"000013.png (boxes.csv:{row_of['000013'] + 1}): the image cannot be read",
    ]


def test_every_fault_is_told_at_once_or_left_out(copy_of):
    folder, source = copy_of
    told = spoil(folder)
    # The photo whose pixels are garbage is told if it is drawn for training, as it is here.
    with pytest.raises(DataError) as caught:
        load_images(source, canvas_px=16)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{source} must be without fault, but has 8 problems:"
    for line, words in zip(lines[1:-1], told, strict=True):
        assert line.strip().startswith(words)
    data = load_images(source, canvas_px=16, skip_bad=True)
    assert data.left_out.words() == "8 faults passed over, 1 photo without an object left out"
    used = {stem(n) for p in (data.train, data.validation, data.open_test()) for n in p.names}
    bad = {1, 2, 4, 5, 7, 8, 11, 13, 14}
    assert used == {name for name in NAMES if int(name) not in bad}


def test_a_class_without_a_photo_to_train_on_is_a_fault(tmp_path):
    splits = ["test" if at % 3 == 0 else "train" for at in range(len(DRAWN))]
    source = write_csv(tmp_path, DRAWN, splits=splits)
    why = "class 'disc': a class must have a photo to train on, but none of its 20 is one"
    with pytest.raises(DataError, match=why):
        load_images(source, canvas_px=16)
    with pytest.raises(DataError, match="and to test, but has 36, 4 and 0 of 2 classes"):
        load_images(source, canvas_px=16, skip_bad=True)


def test_copies_over_given_splits_are_a_fault(tmp_path):
    splits = ["test" if at < 15 else "train" for at in range(len(DRAWN))]
    drawn = [*DRAWN[:33], replace(DRAWN[3], name="000033"), *DRAWN[34:]]
    source = write_csv(tmp_path, drawn, splits=splits)
    why = r"000033.png .* the same bytes are in test \(000003\.png\) and in train"
    with pytest.raises(DataError, match=why):
        load_images(source, canvas_px=16)
    data = load_images(source, canvas_px=16, skip_bad=True)
    assert "000033.png" not in {*data.train.names, *data.validation.names}
    assert "000003.png" in data.open_test().names


def test_copies_of_two_classes_are_a_fault_of_each(tmp_path):
    """A photo of a square, and the same bytes called disc: nobody knows which is true."""
    disc, square = (
        next(photo for photo in DRAWN if photo.things[0].name == name)
        for name in ("disc", "square")
    )
    source = write_csv(tmp_path, DRAWN)
    shutil.copy(tmp_path / f"{square.name}.png", tmp_path / f"{disc.name}.png")
    lines = (tmp_path / "boxes.csv").read_text().splitlines()
    kept = [line for line in lines if not line.startswith(f"{disc.name}.png")]
    row = next(line for line in kept if line.startswith(f"{square.name}.png"))
    claim = row.replace(square.name, disc.name).replace("square", "disc")
    (tmp_path / "boxes.csv").write_text("\n".join([*kept, claim]) + "\n")
    with pytest.raises(DataError) as caught:
        load_images(source, canvas_px=16)
    told = [line for line in str(caught.value).splitlines() if "must show the same class" in line]
    assert len(told) == 2
    assert "are 'square' here and 'disc' in" in "".join(told)
    data = load_images(source, canvas_px=16, skip_bad=True)
    used = {stem(n) for p in (data.train, data.validation, data.open_test()) for n in p.names}
    assert used == set(NAMES) - {disc.name, square.name}


def test_declared_classes_without_a_photo_are_no_classes_and_named(tmp_path):
    source = write_coco(tmp_path, DRAWN)
    file = tmp_path / "instances.json"
    content = json.loads(file.read_text())
    content["categories"] += [{"id": 90 + k, "name": f"rare-{k}"} for k in range(7)]
    file.write_text(json.dumps(content))
    data = load_images(source, canvas_px=16)
    assert data.class_names == CLASSES
    told = "no photo of rare-0, rare-1, rare-2, rare-3, rare-4 and 2 more classes"
    assert data.left_out.words() == told
    assert box_stats(survey(read_annotations(source))).classes_without_photo == tuple(
        f"rare-{k}" for k in range(7)
    )


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_without_an_object_there_is_no_data(tmp_path, cache):
    DRAWN[0].image.save(tmp_path / "a.png")
    (tmp_path / "boxes.csv").write_text("path,label,x_min,y_min,x_max,y_max\na.png,,,,,\n")
    with pytest.raises(DataError, match=r"must have objects to train on, but csv:.* has none"):
        load_images(
            f"csv:{tmp_path / 'boxes.csv'}", canvas_px=16, cache=cache, cache_dir=tmp_path / "c"
        )


@pytest.mark.parametrize("n", [1, 2])
def test_too_few_photos_are_refused(tmp_path, n):
    with pytest.raises(DataError, match=f"to test, but has {n}, 0 and 0 of {n} classes"):
        load_images(write_coco(tmp_path, DRAWN[:n]), canvas_px=16)


def test_crowds_alone_are_no_object(tmp_path):
    source = write_coco(tmp_path, DRAWN)
    file = tmp_path / "instances.json"
    content = json.loads(file.read_text())
    for entry in content["annotations"]:
        entry["iscrowd"] = int(entry["image_id"] < 6)
    file.write_text(json.dumps(content))
    data = load_images(source, canvas_px=16)
    assert data.left_out.words() == "6 photos without an object left out"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (
            "vox:photos",
            r"Unknown format of photos 'vox'\. Did you mean 'voc'\? Known: coco, csv, voc",
        ),
        ("photos", "Unknown format of photos 'photos'"),
        ("voc:", "`voc:` must be followed by a path, such as voc:PATH"),
    ],
)
def test_sources_are_checked(source, why):
    with pytest.raises(UsageError, match=why):
        read_annotations(source)


def test_huge_headers_are_faults_before_decoding(copy_of):
    folder, source = copy_of
    undecodable(folder / "000000.png", (20_000, 20_000))
    undecodable(folder / "000001.png", (9_500, 9_500))
    found = survey(read_annotations(source))
    assert [str(problem).partition(" (")[0] for problem in found.file_problems] == [
        "000000.png", "000001.png",
    ]  # fmt: skip
    assert all("at most 89,478,485 pixels" in problem.what for problem in found.file_problems)
