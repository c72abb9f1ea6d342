from functools import partial

import numpy as np
import pytest
from PIL import Image

from mtlbench.config import DataConfig
from mtlbench.data.adapters import folder
from mtlbench.data.check import check, errors
from mtlbench.data.mammogram import Finding, Index, Lesion, Mammogram
from mtlbench.data.outlines import Circle, Polygon


def image(seed, shape=(20, 30)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def mammogram(name, pixels, **fields):
    height, width = fields.pop("size", pixels.shape)
    fields = {"patient_id": name, "origin": "list.csv", "row": int(name[1:]), **fields}
    return Mammogram(name, pixels=partial(np.copy, pixels), height=height, width=width, **fields)


def found_by(index):
    return check(index, DataConfig()).findings


def test_a_sound_set_has_no_findings(small_folder):
    assert found_by(folder.read(small_folder, DataConfig())) == []


def test_jobs_do_not_change_the_findings(small_folder):
    path = small_folder / "images" / "i03.png"
    path.write_bytes(path.read_bytes()[:300])
    index = folder.read(small_folder, DataConfig())
    assert check(index, DataConfig(), jobs=2) == check(index, DataConfig(), jobs=0)


def test_unreadable_image_mask_of_another_size_and_both_at_their_rows(small_folder):
    path = small_folder / "images" / "i03.png"
    path.write_bytes(path.read_bytes()[:300])
    Image.fromarray(np.zeros((40, 31), dtype=np.uint8)).save(small_folder / "masks" / "i05.png")
    found = found_by(folder.read(small_folder, DataConfig()))
    assert [(f.level, f.file, f.row) for f in found] == [
        ("error", "manifest.csv", 7),
        ("error", "manifest.csv", 5),
    ]
    assert "the mask is 40 x 31 and the image 40 x 30" in found[0].message
    assert "i03.png: damaged or truncated" in found[1].message


def test_size_must_be_as_indexed():
    [found] = found_by(Index([mammogram("i1", image(0), size=(20, 31))], []))
    assert found == Finding(
        "error", "list.csv", 1, "must have (20, 31) pixels as indexed, but got (20, 30)", "i1"
    )


def test_equal_ids_and_patients_in_two_splits_name_both_places():
    images = [
        mammogram("i1", image(0), patient_id="anna", split="train"),
        mammogram("i2", image(1), patient_id="anna", split="test"),
        mammogram("i2", image(2), patient_id="bea", row=3),
    ]
    found = found_by(Index(images, []))
    assert [str(f) for f in found] == [
        "list.csv:2: i2: patient anna must be in one split, but is in test here and in train at "
        "list.csv:1",
        "list.csv:3: i2: image_id must be unique, but is that of list.csv:2",
    ]
    assert errors(found) == found


def test_equal_pixels_under_one_label_are_a_note():
    images = [mammogram(n, image(0), label=1, patient_id="p") for n in ("i1", "i2")]
    [found] = found_by(Index(images, []))
    assert (found.level, found.row, found.consequence) == ("note", 2, "kept")
    assert "same pixels as i1 at list.csv:1" in found.message


@pytest.mark.parametrize(("label", "word"), [(0, "0"), (None, "unknown")])
def test_equal_pixels_under_two_labels_are_errors_of_both(label, word):
    images = [mammogram("i1", image(0), label=1), mammogram("i2", image(0), label=label)]
    first, second = found_by(Index(images, []))
    assert (first.level, second.level) == ("error", "error")
    assert first.message == (
        f"has the same pixels as i2 at list.csv:2, but label {word} there stands against 1"
    )
    assert second.image_id == "i2"


def test_equal_pixels_of_two_patients_are_a_note_that_says_so():
    images = [mammogram(n, image(0), label=1) for n in ("i1", "i2")]
    [found] = found_by(Index(images, []))
    assert (found.level, found.image_id) == ("note", "i2")
    assert found.message.endswith("which is of another patient: a split may part them")


def test_equal_pixels_in_two_official_splits_are_errors_of_both():
    images = [
        mammogram(n, image(0), label=1, split=split)
        for n, split in (("i1", "train"), ("i2", "test"))
    ]
    first, second = found_by(Index(images, []))
    assert (first.level, second.level) == ("error", "error")
    assert second.message.endswith("but split 'train' there stands against 'test'")


def test_all_faults_of_an_image_are_found_in_one_pass():
    known = Finding("error", "list.csv", 1, "an unknown word", "i1")
    off = Lesion("mass", "benign", Circle(1, 10, 5))
    picture = mammogram("i1", image(0), path="i1.png", lesions=(off,))
    report = check(Index([picture], [known]), DataConfig())
    assert [f.level for f in report.findings] == ["error", "note"]
    assert (report.n_images, report.n_cases) == (1, 0)


def test_an_outline_far_off_the_image_is_an_error():
    far = Lesion("mass", "benign", Polygon(((1, 1), (999999, 5), (4, 9))))
    [found] = found_by(Index([mammogram("i1", image(0), lesions=(far,))], []))
    assert found.level == "error"
    assert "must lie in the image, but is far off" in found.message


def test_equal_bytes_of_another_shape_are_no_duplicate():
    pixels = image(0, (20, 20))
    other = pixels.reshape(10, 40)
    assert found_by(Index([mammogram("i1", pixels), mammogram("i2", other)], [])) == []


@pytest.mark.parametrize(
    ("outline", "message"),
    [
        (Circle(10, 10, 5), None),
        (Circle(1, 10, 5), "partly outside"),
        (Circle(-9, 10, 5), "covers no pixel"),
        (Polygon(((1, 1), (29, 1), (29, 19))), None),
        (Polygon(((1, 1), (31, 1), (31, 19))), "partly outside"),
    ],
)
def test_outlines_off_the_image_are_notes(outline, message):
    lesion = Lesion("mass", "benign", outline)
    found = found_by(Index([mammogram("i1", image(0), lesions=(lesion,))], []))
    assert [f.level for f in found] == ([] if message is None else ["note"])
    assert all(message in f.message for f in found)


def test_the_image_of_another_depth_is_the_one_at_fault():
    deep = image(1).astype(np.uint16)
    pictures = [mammogram("i2", image(2), label=0), mammogram("i3", deep, label=0)]
    pictures.append(mammogram("i4", image(4), label=0))
    (finding,) = found_by(Index(pictures, []))
    assert (finding.level, finding.row) == ("error", 3)
    assert "same depth: uint8, not uint16" in finding.message


def test_a_set_without_labels_and_masks_is_an_error():
    (finding,) = found_by(Index([mammogram("i2", image(2), has_mask=False)], []))
    assert finding.level == "error"
    assert "must have a label or a mask, but none has" in finding.message
