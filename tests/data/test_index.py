import csv

import numpy as np

from mtlbench.config import DataConfig
from mtlbench.data.adapters import folder
from mtlbench.data.index import CASE_COLUMNS, LESION_COLUMNS, write_index
from mtlbench.data.mammogram import Index, Lesion, Mammogram
from mtlbench.data.outlines import Circle


def rows(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def mammogram(**fields):
    base = {"image_id": "i1", "patient_id": "p1", "height": 20, "width": 30}
    return Mammogram(pixels=lambda: np.zeros((20, 30), dtype=np.uint8), **(base | fields))


def test_columns_are_the_interface(tmp_path, small_folder):
    write_index(folder.read(small_folder, DataConfig()), tmp_path)
    cases = (tmp_path / "cases.csv").read_text().splitlines()
    lesions = (tmp_path / "lesions.csv").read_text().splitlines()
    assert cases[0] == (
        "image_id,patient_id,exam_id,side,view,label,label_source,birads,density,scanner,split,"
        "height,width,spacing_mm,has_mask,n_lesions,path"
    )
    assert lesions[0] == (
        "image_id,lesion,type,pathology,class,outline,x_min,x_max,y_min,y_max,area_px,area_mm2"
    )
    assert cases[0].split(",") == list(CASE_COLUMNS)
    assert lesions[0].split(",") == list(LESION_COLUMNS)
    assert cases[2] == "i01,p0,,right,CC,1,mask classes,,,,,40,30,0.5,1,1,images/i01.png"
    assert lesions[1] == "i01,1,mass,malignant,2,mask,5,14,10,19,100,25.0"


def test_boxes_are_inclusive_and_clipped(tmp_path):
    lesions = (Lesion("mass", "benign", Circle(0, 10, 2)), Lesion("other", None, None))
    write_index(Index([mammogram(lesions=lesions, has_mask=False)], []), tmp_path)
    first, second = rows(tmp_path / "lesions.csv")
    assert [first[k] for k in ("x_min", "x_max", "y_min", "y_max")] == ["0", "2", "8", "12"]
    assert first["area_px"] == "9"  # half of the disc of 13 pixels, and its axis
    assert first["area_mm2"] == ""  # the spacing is not known
    assert (second["lesion"], second["outline"], second["class"]) == ("2", "", "")
    assert rows(tmp_path / "cases.csv")[0]["has_mask"] == "0"


def test_normals_have_a_mask_and_lesions_off_the_image_have_none(tmp_path):
    off = Lesion("mass", "benign", Circle(-50, 10, 2))
    normal, lost = mammogram(image_id="a"), mammogram(image_id="b", lesions=(off,))
    write_index(Index([normal, lost], []), tmp_path)
    assert [row["has_mask"] for row in rows(tmp_path / "cases.csv")] == ["1", "0"]


def test_an_absent_image_keeps_what_the_annotations_say(tmp_path):
    lesion = Lesion("mass", "malignant", Circle(5, 5, 2))
    absent = mammogram(height=0, width=0, lesions=(lesion,), label=1)
    write_index(Index([absent], []), tmp_path)
    [case], [row] = rows(tmp_path / "cases.csv"), rows(tmp_path / "lesions.csv")
    assert (case["has_mask"], case["label"], case["path"]) == ("1", "1", "")
    assert (row["class"], row["x_min"], row["x_max"], row["area_px"]) == ("2", "3", "7", "13")
