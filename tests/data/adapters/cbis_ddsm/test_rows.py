"""Faults and quirks of the case descriptions of CBIS-DDSM; the images are absent."""

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mtlbench.config import DataConfig
from mtlbench.data.adapters import cbis_ddsm
from mtlbench.errors import DataError

TRAIN, TEST = "mass_case_description_train_set.csv", "mass_case_description_test_set.csv"
CALC = "calc_case_description_test_set.csv"
HEADER = (
    "patient_id,breast_density,left or right breast,image view,abnormality id,abnormality type,"
    "mass shape,mass margins,assessment,pathology,subtlety,image file path,"
    "cropped image file path,ROI mask file path\n"
)
IMAGE = "Mass-Training_P_00001_LEFT_CC"


def row(image: str = IMAGE, number: int = 1, pathology: str = "BENIGN", grade: int = 3) -> str:
    """A row as the originals have it, of two lines; UIDs are made of the folder's name."""
    _, _, digits, side, view = image.split("_")
    lesion = f"{image}_{number}"
    kind = "mass" if image.startswith("Mass") else "calcification"
    return (
        f"P_{digits},2,{side},{view},{number},{kind},OVAL,CIRCUMSCRIBED,{grade},{pathology},4,"
        f"{image}/1.{image}/2.{image}/000000.dcm,{lesion}/1.{lesion}/2.{lesion}/000000.dcm,"
        f'"{lesion}/1.{lesion}/2.{lesion}/000001.dcm\n"\n'
    )


@pytest.fixture
def read(read: Callable[..., tuple[list, list[tuple]]]) -> Callable[..., tuple[list, list[tuple]]]:
    """The same, less what is said of absent files."""

    def without(root: Path, **config: object) -> tuple[list, list[tuple]]:
        images, findings = read(root, **config)
        return images, [f for f in findings if not f[3].startswith("no such file")]

    return without


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / TRAIN).write_text(HEADER + row())
    return tmp_path


def test_lesions_are_in_the_order_of_their_ids(root, read):
    rows = [row(number=2, pathology="MALIGNANT", grade=4), row(grade=0)]
    (root / TRAIN).write_text(HEADER + "".join(rows))
    (image,), findings = read(root)
    assert findings == []
    assert [x.pathology for x in image.lesions] == ["benign", "malignant"]
    assert (image.label, image.birads, image.row) == (1, "4", 2)


FAULTS = {
    "pathology": ("BENIGN", "BENIGNE", "pathology must be one of BENIGN, .* but got 'BENIGNE'"),
    "no pathology": (",BENIGN,", ",,", "pathology must be one of .* but got ''"),
    "type": (",mass,", ",lump,", "abnormality type must be mass in this file, but got 'lump'"),
    "patient": ("P_00009,", "P_00010,", "patient must be that of .* P_00009, but is 'P_00010'"),
    "side": (",RIGHT,", ",LEFT,", "side must be that of .* RIGHT, but is 'LEFT'"),
    "view": (",MLO,", ",CC,", "view must be that of .* MLO, but is 'CC'"),
    "set": ("Mass-Training_P_00009", "Mass-Test_P_00009", "set must be that of .* test, but is"),
    "kind": ("Mass-Training_P_00009", "Calc-Training_P_00009", "kind must be that of .* calc, but"),
    "id": (",1,mass", ",one,mass", "abnormality id must be a number from 1 to 999, but got 'one'"),
    "huge id": (",1,mass", f",{10**30},mass", "abnormality id must be a number from 1 to 999"),
    "other digits": (",1,mass", ",١,mass", "abnormality id must be a number from 1 to 999"),
    "mask": ('"Mass-Training_P_00009_RIGHT_MLO_1', '"Mass-Training_P_00009_RIGHT_MLO_2',
             "roi mask file path must begin with .*_MLO_1, but begins with '.*_MLO_2'"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_with_file_and_row(root, name, read):
    old, new, message = FAULTS[name]
    faulty = row("Mass-Training_P_00009_RIGHT_MLO")
    assert old in faulty
    (root / TRAIN).write_text(HEADER + row() + faulty.replace(old, new))
    images, findings = read(root)
    assert images[0].image_id == IMAGE
    assert any(
        finding[:3] == ("error", TRAIN, 4) and re.match(message, finding[3]) for finding in findings
    )
    assert all(finding[2] == 4 for finding in findings)


MALFORMED = {
    "path": ("Mass-Training_P_00009_RIGHT_MLO/1.", "elsewhere/1.", "must begin with a folder such"),
    "no path": ("Mass-Training_P_00009_RIGHT_MLO/1.", "/1.", "but begins with ''"),
    "lesion's path": ("RIGHT_MLO/1.", "RIGHT_MLO_1/1.", "must begin with a folder such"),
    "cells": (",OVAL,", ",OVAL,ROUND,", "must have 14 cells as the header has, but has 15"),
    "lines": (",OVAL,", ',"OV\nAL",', "each cell must be one line of UTF-8"),
    "stray quote": (",OVAL,", ',"OVAL,', "must have 14 cells as the header has, but has"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_row_is_told_and_the_next_one_read(root, name, read):
    old, new, message = MALFORMED[name]
    faulty = row("Mass-Training_P_00009_RIGHT_MLO")
    assert old in faulty
    text = HEADER + faulty.replace(old, new) + row("Mass-Training_P_00010_LEFT_CC") + row()
    (root / TRAIN).write_text(text)
    images, findings = read(root)
    assert images[-1].image_id == IMAGE
    assert [image.patient_id for image in images] == ["P_00010", "P_00001"]
    assert findings[0][:3] == ("error", TRAIN, 2)
    assert message in findings[0][3]


def test_a_row_in_another_encoding(root, read):
    text = HEADER + row("Mass-Training_P_00009_RIGHT_MLO").replace("OVAL", "\xd6VAL") + row()
    (root / TRAIN).write_bytes(text.encode("latin-1"))
    (image,), (finding,) = read(root)
    assert image.image_id == IMAGE
    assert finding[:4] == ("error", TRAIN, 2, "each cell must be one line of UTF-8, but one is not")


def test_an_abnormality_twice(root, read):
    (root / TRAIN).write_text(HEADER + row() + row())
    _, (finding,) = read(root)
    assert finding[:3] == ("error", TRAIN, 4)
    assert finding[3] == f"abnormality id 1 must be unique in its image, but is that of {TRAIN}:2"


@pytest.mark.parametrize(
    ("column", "old"), [("assessment", ",3,BENIGN"), ("breast density", ",2,LEFT")]
)
def test_an_odd_grade_is_left_empty(root, column, old, read):
    (root / TRAIN).write_text(HEADER + row().replace(old, old.replace(old[1], "n/a")))
    (image,), (finding,) = read(root)
    message = f"{column} must be 0 to 6, but got 'n/a'"
    assert finding == ("note", TRAIN, 2, message, IMAGE, "left empty")
    assert (image.birads if column == "assessment" else image.density) == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER.replace("pathology", "diagnosis") + row(), "must have a column 'pathology'"),
        (HEADER.replace("subtlety", "pathology") + row(), "'pathology' comes twice"),
        ("", "must have a column 'patient id'"),
        ("\0" * 500, "must have a column"),
        (HEADER + "x" * 200_000, "must be a row of a CSV file: field larger than field limit"),
    ],
)
def test_a_case_description_that_is_none(root, text, message, read):
    (root / TEST).write_text(text)
    images, findings = read(root)
    assert [image.image_id for image in images] == [IMAGE]
    (finding,) = findings
    assert finding[:2] == ("error", TEST)
    assert message in finding[3]


def test_byte_order_mark_and_crlf(root, read):
    text = (root / TRAIN).read_text().replace("\n", "\r\n")
    (root / TRAIN).write_bytes(text.encode("utf-8-sig"))
    (image,), findings = read(root)
    assert (findings, image.row) == ([], 2)


def test_a_second_copy_of_a_case_description(root, read):
    (root / "csv").mkdir()
    (root / "csv" / TRAIN).write_text(HEADER + row())
    images, findings = read(root)
    assert len(images) == 1
    message = f"must be there once, but is also {TRAIN}"
    assert findings == [("error", f"csv/{TRAIN}", None, message, "", "")]


def test_no_such_data_set(tmp_path, read):
    with pytest.raises(
        DataError, match=r"must hold \*_case_description_\*_set.csv, but holds none"
    ):
        read(tmp_path)
    with pytest.raises(DataError, match="must hold"):
        read(tmp_path / "absent")
    (tmp_path / TRAIN).write_text(HEADER + row())
    with pytest.raises(DataError, match="must hold calc_case_description"):
        read(tmp_path, subset="calc")


def test_a_patient_with_test_images_is_a_test_patient(root, read):
    (root / CALC).write_text(
        HEADER.replace("breast_density", "breast density") + row("Calc-Test_P_00001_RIGHT_MLO")
    )
    images, findings = read(root)
    assert {image.split for image in images} == {"test"}
    message = "moved to test: patient P_00001 has official test images"
    assert ("note", TRAIN, 2, message, IMAGE, "in the test split") in findings


def test_mutated_case_descriptions_never_raise(tmp_path):
    """Errors and notes for whatever a file holds; only 'none at all' is raised."""
    names = ["Mass-Training_P_00001_LEFT_CC", "Mass-Training_P_00002_RIGHT_MLO"]
    sound = (HEADER + "".join(row(name) for name in names)).encode()
    rng = random.Random(0)
    for _ in range(400):
        data = bytearray(sound)
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(data))
            data[at : at + rng.choice([0, 1, 1, 40])] = rng.choice(
                [b"", b'"', b",", b"\n", b"\r", b"\0", b"\xff", b"9" * 30, b"_2", b"/", b"../"]
            )
        (tmp_path / TRAIN).write_bytes(data)
        index = cbis_ddsm.read(tmp_path, DataConfig())
        assert index.findings
        assert all(f.row is None or f.row >= 1 for f in index.findings)
        for image in index.mammograms:
            with pytest.raises(DataError):
                image.pixels()
