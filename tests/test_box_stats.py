import dataclasses
import json
import shutil

from PIL import Image

from harness.annotated_sources import read_annotations
from harness.box_stats import box_stats
from harness.cmd_photo_stats import _aspects, _findings
from harness.image_survey import survey

ROWS = """path,label,x_min,y_min,x_max,y_max,split
a.png,dog,0,0,50,20,train
a.png,cat,90,0,100,10,train
b.png,dog,0,0,100,50,train
c.png,cat,40,0,60,40,test
d.png,,,,,,train
e.png,dog,0,0,500,5,train
f.png,dog,0,0,5,5,train
g.png,dog,0,0,x,5,train
h.png,dog,-1,0,25,50,train
"""


def stats(folder):
    for at, name in enumerate("abcdegh"):
        Image.new("L", (100, 50), 30 * at).save(folder / f"{name}.png")
    shutil.copy(folder / "a.png", folder / "b.png")
    (folder / "f.png").write_text("no image")
    (folder / "boxes.csv").write_text(ROWS)
    return box_stats(survey(read_annotations(f"csv:{folder / 'boxes.csv'}")))


def test_by_hand(tmp_path):
    found = stats(tmp_path)
    assert (found.photos, found.without_object, found.objects, found.clipped) == (4, 1, 5, 1)
    assert found.photos_by_class == {"cat": 1, "dog": 3}
    assert found.objects_by_class == {"cat": 2, "dog": 3}
    assert found.photos_by_split == {"test": 1, "train": 3}
    assert found.side_px == (50, 75.0, 100)
    # Areas 1000, 5000, 800, 1250 of 5000: 0.2, 1, 0.16, 0.25
    assert found.area.counts == (0, 1, 2, 0, 0, 0, 0, 0, 0, 1)
    # Aspects 2.5, 2, 0.5, 0.5
    assert found.aspect.counts == (0, 0, 0, 2, 0, 2, 0, 0)
    # Centres at x 0.25, 0.5, 0.5, 0.125 and y 0.2, 0.5, 0.4, 0.5
    assert found.centre_x.counts == (0, 1, 1, 0, 0, 2, 0, 0, 0, 0)
    assert found.centre_y.counts == (0, 0, 1, 0, 1, 2, 0, 0, 0, 0)
    assert found.copies == (("a.png", "b.png"),)
    assert [words.partition(":")[2][:1] for words in found.box_faults] == ["7"]
    assert [words.partition(" ")[0] for words in found.unreadable] == ["f.png"]
    assert found.annotation_faults == ("boxes.csv:9: x_max must be a number, got 'x'",)


def test_aspects_are_told_in_a_line(tmp_path):
    found = stats(tmp_path)
    assert "width / height of these boxes: 0.5 to 1 (50 %), 2 to 4 (50 %)" in _findings(found)
    wide = dataclasses.replace(found.aspect, counts=(1, 0, 0, 0, 0, 0, 0, 2))
    assert _aspects(wide) == "0 to 0.125 (33 %), from 8 (67 %)"
    none = dataclasses.replace(found.aspect, counts=(0,) * 8)
    lines = list(_findings(dataclasses.replace(found, aspect=none)))
    assert not [line for line in lines if line.startswith("width")]


def test_as_json_is_json(tmp_path):
    found = stats(tmp_path)
    values = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert values["aspect"]["edges"][-1] is None
    assert values["area"]["counts"] == list(found.area.counts)
    assert values["copies"] == [["a.png", "b.png"]]


def test_a_set_of_faults_alone_has_no_figures(tmp_path):
    (tmp_path / "boxes.csv").write_text("path,label,x_min,y_min,x_max,y_max\nno.png,a,1,2,3,4\n")
    found = box_stats(survey(read_annotations(f"csv:{tmp_path / 'boxes.csv'}")))
    assert (found.photos, found.side_px, sum(found.area.counts)) == (0, None, 0)
    assert len(found.annotation_faults) == 1
