import numpy as np
import pytest

from mtlbench.config import DataConfig
from mtlbench.data.adapters import folder
from mtlbench.data.check import check
from mtlbench.errors import DataError, StudyError

IMAGE = np.arange(80, dtype=np.uint8).reshape(10, 8)
BASE = {"image_id": "a", "patient_id": "p", "image": "a.png"}


def mask(*values):
    pixels = np.zeros((10, 8), dtype=np.uint8)
    for column, value in enumerate(values):
        pixels[4, column] = value
    return pixels


def read_one(write_folder, row, *values, columns=None):
    """Read a set of one image, with a mask holding `values`."""
    files = {"a.png": IMAGE, "m.png": mask(*values)}
    row = BASE | ({"mask": "m.png"} if values else {}) | row
    index = folder.read(write_folder([row], files), DataConfig(columns=columns or {}))
    [mammogram] = index.mammograms
    return mammogram, [str(finding) for finding in index.findings]


def kinds(mammogram):
    return [(lesion.type, lesion.pathology) for lesion in mammogram.lesions]


def test_all_columns(write_folder):
    row = {
        "exam_id": "e", "side": "R", "view": "mlo", "label": "1", "density": "3", "birads": "4a",
        "spacing_mm": "0.05", "split": "Validation", "scanner": "X",
    }  # fmt: skip
    got, findings = read_one(write_folder, row)
    assert findings == []
    assert (got.image_id, got.patient_id, got.exam_id) == ("a", "p", "e")
    assert (got.side, got.view, got.split, got.scanner) == ("right", "MLO", "val", "X")
    assert (got.label, got.label_source) == (1, "manifest.csv label")
    assert (got.density, got.birads, got.spacing_mm) == ("3", "4a", 0.05)
    assert (got.height, got.width, got.path, got.row) == (10, 8, "a.png", 2)
    np.testing.assert_array_equal(got.pixels(), IMAGE)


def test_class_masks(write_folder):
    got, findings = read_one(write_folder, {}, 1, 2, 3, 4, 255)
    assert findings == []
    assert kinds(got) == [
        ("mass", "benign"),
        ("mass", "malignant"),
        ("calcification", "benign"),
        ("calcification", "malignant"),
        ("mass", None),
    ]
    for column, lesion in enumerate(got.lesions):
        assert np.argwhere(lesion.outline.rasterise(10, 8).whole(10, 8)).tolist() == [[4, column]]
    assert (got.label, got.label_source) == (1, "mask classes")


@pytest.mark.parametrize(("values", "label"), [((0,), 0), ((1, 3), 0), ((4,), 1), ((1, 255), None)])
def test_label_of_class_masks(write_folder, values, label):
    got, findings = read_one(write_folder, {}, *values)
    assert (got.label, got.has_mask, findings) == (label, True, [])


def test_a_value_that_is_no_class(write_folder):
    _, findings = read_one(write_folder, {}, 1, 7)
    [message] = findings
    assert message.startswith("manifest.csv:2: ")
    assert "must hold classes 0 to 4 or 255, but holds 7" in message


def test_binary_masks_without_type_are_not_taken_as_ignored(write_folder):
    _, findings = read_one(write_folder, {}, 255)
    assert findings == [
        "manifest.csv: all masks hold 0 and 255 only: map type and pathology to read binary masks"
    ]


@pytest.mark.parametrize(
    ("pathology", "lesion", "label"),
    [
        ("malignant", "malignant", 1),
        ("BENIGN_WITHOUT_CALLBACK|BENIGN", "benign", 0),
        ("Benign+Malignant", None, 1),
        ("unproven", "unproven", None),
        ("", None, None),
    ],
)
def test_binary_masks_by_type_and_pathology(write_folder, pathology, lesion, label):
    row = {"type": "mass", "pathology": pathology}
    got, findings = read_one(write_folder, row, 9, 255)
    assert kinds(got) == [("mass", lesion)]
    assert got.lesions[0].outline.rasterise(10, 8).whole(10, 8).sum() == 2
    assert got.label == label
    merged = (
        "manifest.csv:2: a: benign and malignant lesions in one mask: the mask's pixels are ignored"
    )
    assert findings == ([merged] if "+" in pathology else [])


def test_normals_need_no_mask(write_folder):
    got, findings = read_one(write_folder, {"type": "", "pathology": "normal"})
    assert (got.label, got.has_mask, got.lesions, findings) == (0, True, (), [])


def test_known_lesion_without_mask(write_folder):
    got, findings = read_one(write_folder, {"type": "calc", "pathology": "benign"})
    assert (kinds(got), got.has_mask, findings) == ([("calcification", "benign")], False, [])
    assert got.lesions[0].outline is None


def test_label_alone(write_folder):
    got, findings = read_one(write_folder, {"label": "0.0"})
    assert (got.label, got.has_mask, findings) == (0, False, [])


@pytest.mark.parametrize(
    ("row", "values", "message"),
    [
        ({"side": "up"}, (), "side must be one of l, left, r, right, but got 'up'"),
        ({"view": "MLP"}, (), "view must be one of cc, mlo"),
        ({"split": "dev"}, (), "split must be one of train"),
        ({"label": "2"}, (), "label must be of 0, 1, benign, benign_without_callback, malignant"),
        ({"pathology": "bad"}, (), "pathology must be of benign"),
        ({"type": "lump", "pathology": "benign"}, (1,), "type must be one of mass"),
        ({"type": "", "pathology": "benign"}, (1,), "type must not be empty"),
        ({"spacing_mm": "-1"}, (), "spacing_mm must be a number above 0, but got '-1'"),
        ({"spacing_mm": "nan"}, (), "spacing_mm must be a number above 0, but got 'nan'"),
        ({"image_id": ""}, (), "image_id must not be empty"),
        ({"patient_id": ""}, (), "patient_id must not be empty"),
        ({"image": ""}, (), "image must not be empty"),
        ({"image": "b.png"}, (), "b.png: no such file"),
        ({"mask": "b.png"}, (), "b.png: no such file"),
        ({"image": "../set/../x.png"}, (), "must lie below"),
        ({"image": "/etc/passwd"}, (), "must lie below"),
        ({"image": "a\0.png"}, (), "must lie below"),
        ({"mask": "../x.png"}, (), "must lie below"),
        ({"label": 0}, (2,), "label is 0, but there is a malignant lesion"),
        ({"pathology": "normal"}, (2,), "pathology is normal, but the mask holds [2]"),
        ({"type": "", "pathology": "normal"}, (9,), "pathology is normal, but the mask is not"),
    ],
)
def test_each_wrong_cell_is_an_error_at_its_row(write_folder, row, values, message):
    _, findings = read_one(write_folder, row, *values)
    assert [m for m in findings if message in m and m.startswith("manifest.csv:2: ")] == findings
    assert len(findings) == 1


def test_a_link_out_of_the_folder_is_refused(write_folder, tmp_path):
    root = write_folder([BASE], {"a.png": IMAGE})
    (root / "a.png").rename(tmp_path / "outside.png")
    (root / "a.png").symlink_to(tmp_path / "outside.png")
    [finding] = folder.read(root, DataConfig()).findings
    assert "must lie below" in finding.message


def test_mask_of_another_size(write_folder):
    root = write_folder([BASE | {"mask": "m.png"}], {"a.png": IMAGE, "m.png": mask()[:, 1:]})
    [finding] = folder.read(root, DataConfig()).findings
    assert str(finding).startswith("manifest.csv:2: ")
    assert "the mask is 10 x 7 and the image 10 x 8" in finding.message


def test_all_faults_of_a_manifest_at_once(write_folder):
    rows = [BASE | {"side": "x", "view": "y"}, BASE | {"image": "b.png"}, BASE]
    index = folder.read(write_folder([BASE | rows[0], *rows[1:]], {"a.png": IMAGE}), DataConfig())
    assert [finding.row for finding in check(index, DataConfig()).findings] == [2, 2, 3, 3, 4]


def test_missing_manifest_and_unknown_key(tmp_path):
    with pytest.raises(DataError, match=r"manifest.csv: no such file"):
        folder.read(tmp_path, DataConfig())
    with pytest.raises(StudyError, match=r"data\.columns\.masks: unknown key"):
        folder.read(tmp_path, DataConfig(columns={"masks": "m"}))


def test_real_cbis_with_the_mapping_of_the_guide(cbis_mass_256):
    columns = {
        "image_id": "key",
        "image": "images/{key}.png",
        "mask": "masks/{key}.png",
        "side": "laterality",
        "type": "=mass",
    }
    index = folder.read(cbis_mass_256, DataConfig(columns=columns))
    by_id = {mammogram.image_id: mammogram for mammogram in index.mammograms}
    assert len(by_id) == 1231
    assert len({mammogram.patient_id for mammogram in index.mammograms}) == 691
    assert sum(mammogram.label for mammogram in index.mammograms) == 602
    assert [finding.level for finding in index.findings] == ["note"] * 6
    merged = [m for m in index.mammograms if m.lesions[0].pathology is None]
    assert len(merged) == 6
    first = by_id["Mass-Training_P_00001_LEFT_CC"]
    assert (first.side, first.view, first.density, first.split) == ("left", "CC", "3", "train")
    assert (
        first.lesions[0].outline.rasterise(256, 256).whole(256, 256).sum() == 407
    )  # mask_pixels of its row
