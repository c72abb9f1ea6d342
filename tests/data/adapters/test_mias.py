import re
from collections import Counter

import numpy as np
import pytest

from mtlbench.config import DataConfig
from mtlbench.data.adapters import mias
from mtlbench.data.check import check
from mtlbench.errors import DataError

CONFIG = DataConfig()
INFO = """Prose that mentions mdb001 and
mdb files.
===
mdb001 G CIRC B 35 25 7
mdb002 F NORM \nmdb003 D CALC M 10 50 4
mdb003 D ARCH B 20 40 3
mdb004 D CALC M *NOTE 3*
mdb005 F CIRC B \nmdb006 G SPIC M 30 30 5
====
"""


@pytest.fixture
def write_mias(tmp_path):
    def write(info=INFO, folder="pgm", images=range(1, 7), size=64):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / "Info.txt").write_bytes(info.replace("\n", "\r\n").encode())
        for number in images:
            pixels = np.random.default_rng(number).integers(0, 256, (size, size), dtype=np.uint8)
            content = f"P5\n{size} {size}\n255\n".encode() + pixels.tobytes()
            (tmp_path / folder / f"mdb{number:03d}.pgm").write_bytes(content)
        return tmp_path

    return write


@pytest.mark.parametrize("folder", ["pgm", "."])
def test_rows_of_every_kind(write_mias, folder):
    index = mias.read(write_mias(folder=folder), CONFIG)
    one, two, three, four, five, six = index.mammograms
    assert [m.label for m in index.mammograms] == [0, 0, 1, 1, 0, 1]
    assert [m.has_mask for m in index.mammograms] == [True, True, True, False, False, True]
    assert [m.density for m in index.mammograms] == ["G", "F", "D", "D", "F", "G"]
    assert [m.side for m in index.mammograms] == ["left", "right"] * 3
    assert one.patient_id == two.patient_id != three.patient_id == four.patient_id
    assert [(les.type, les.pathology) for les in three.lesions] == [
        ("calcification", "malignant"),
        ("other", "benign"),
    ]
    assert (two.lesions, five.lesions[0].outline) == ((), None)
    assert (six.view, six.spacing_mm, six.label_source) == ("MLO", 0.2, "Info.txt severity")
    assert one.path == ("pgm/mdb001.pgm" if folder == "pgm" else "mdb001.pgm")
    assert [str(finding) for finding in index.findings] == [
        "Info.txt:8: mdb004: a lesion without coordinates: kept for its label, without a mask",
        "Info.txt:9: mdb005: a lesion without coordinates: kept for its label, without a mask",
    ]
    assert [finding.level for finding in check(index, DataConfig()).findings] == ["note", "note"]


def test_y_counts_from_the_bottom(write_mias):
    outline = mias.read(write_mias(), CONFIG).mammograms[0].lesions[0].outline
    assert (outline.x, outline.y, outline.radius) == (35, 64 - 25, 7)


@pytest.mark.parametrize(
    "row", ["mdb001 G CIRC B 35 25", "mdb001 X NORM", "mdb001 G LUMP B 1 2 3", "mdb001 G NORM 5"]
)
def test_a_row_of_another_form_is_an_error(write_mias, row):
    index = mias.read(write_mias(f"{row}\nmdb002 G NORM\n", images=[2]), CONFIG)
    [finding] = index.findings
    assert (finding.level, finding.file, finding.row) == ("error", "Info.txt", 1)
    assert repr(row) in finding.message


def test_normal_and_lesion_rows_of_one_image_contradict(write_mias):
    index = mias.read(write_mias("mdb001 G NORM\nmdb001 G CIRC B 1 2 3\n", images=[1]), CONFIG)
    assert "must be normal or have lesions" in index.findings[0].message


def test_absent_and_cut_images_name_file_and_row(write_mias):
    root = write_mias(images=[1, 2, 3, 4, 6])
    path = root / "pgm" / "mdb002.pgm"
    path.write_bytes(path.read_bytes()[:-1])
    index = mias.read(root, CONFIG)
    errors = [str(finding) for finding in index.findings if finding.level == "error"]
    assert errors[0].startswith("Info.txt:5: mdb002: ")
    assert errors[0].endswith(
        "truncated: 64 x 64 pixels need 4096 bytes after the header, but found 4095"
    )
    assert errors[1] == f"Info.txt:9: mdb005: {root}/pgm/mdb005.pgm: no such file"
    assert [m.path for m in index.mammograms][4] == ""


def test_an_image_without_a_row_is_noted(write_mias):
    index = mias.read(write_mias("mdb001 G NORM\n", images=[1, 2]), CONFIG)
    assert [str(f) for f in index.findings] == [
        "pgm/mdb002.pgm: mdb002: has no row in Info.txt: left out"
    ]


def test_no_info(tmp_path):
    with pytest.raises(DataError, match=r"Info.txt: no such file"):
        mias.read(tmp_path, CONFIG)


def test_real_set_agrees_with_its_own_file(mini_mias):
    """Counts taken from Info.txt by splitting its rows at spaces."""
    text = (mini_mias / "Info.txt").read_text()
    rows = [line.split() for line in text.splitlines() if re.match(r"mdb\d{3} [FGD] ", line)]
    index = mias.read(mini_mias, CONFIG)
    assert len(index.mammograms) == 238 == len({row[0] for row in rows})
    assert len({m.patient_id for m in index.mammograms}) == 119
    lesions = [row for row in rows if row[2] != "NORM"]
    of_class = {"CALC": "calcification", "ARCH": "other", "ASYM": "other"}
    wanted = Counter(
        (of_class.get(row[2], "mass"), {"B": "benign", "M": "malignant"}[row[3]]) for row in lesions
    )
    found = [lesion for m in index.mammograms for lesion in m.lesions]
    assert Counter((lesion.type, lesion.pathology) for lesion in found) == wanted
    malignant = {row[0] for row in lesions if row[3] == "M"}
    assert {m.image_id for m in index.mammograms if m.label} == malignant
    assert [m.image_id for m in index.mammograms if not m.has_mask] == ["mdb233", "mdb245"]
    assert {(m.height, m.width) for m in index.mammograms} == {(1024, 1024)}
    assert all(len([m for m in index.mammograms if m.patient_id == p]) == 2
               for p in {m.patient_id for m in index.mammograms})  # fmt: skip


def test_real_circles_lie_on_bright_lesions(mini_mias):
    """The lesion is brighter than its ring for 96 % of masses this way up, 67 % the other."""
    brighter = {True: [], False: []}
    for mammogram in mias.read(mini_mias, CONFIG).mammograms:
        pixels = mammogram.pixels().astype(float)
        for lesion in mammogram.lesions:
            if lesion.type != "mass" or lesion.outline is None:
                continue
            circle = lesion.outline
            for right, y in ((True, circle.y), (False, 1024 - circle.y)):
                distance = np.hypot(*np.ogrid[-y : 1024 - y, -circle.x : 1024 - circle.x])
                inside, ring = distance <= circle.radius, distance <= 1.5 * circle.radius
                brighter[right].append(pixels[inside].mean() > pixels[ring & ~inside].mean())
    assert len(brighter[True]) > 40
    assert np.mean(brighter[True]) > 0.9
    assert np.mean(brighter[False]) < 0.8
    assert brighter[True][0]  # mdb001


def test_a_row_that_cannot_be_read_is_an_error_of_its_image(write_mias):
    index = mias.read(write_mias("mdb001 G NORM\nmdb002 F CIRC X 3 4 5\n", images=[1, 2]), CONFIG)
    [finding] = index.findings
    assert (finding.level, finding.row, finding.image_id) == ("error", 2, "mdb002")
