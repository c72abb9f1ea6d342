"""Small folders of CBIS-DDSM for each quirk and fault of its image files."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import ImplicitVRLittleEndian

from mtlbench.errors import DataError

TRAIN = "mass_case_description_train_set.csv"
HEADER = (
    "patient_id,breast_density,left or right breast,image view,abnormality id,abnormality type,"
    "mass shape,mass margins,assessment,pathology,subtlety,image file path,"
    "cropped image file path,ROI mask file path\n"
)
IMAGE = "Mass-Training_P_00001_LEFT_CC"
FULL, CROP, MASK = "full mammogram images", "cropped images", "ROI mask images"
SIZE = (60, 40)


def row(image: str = IMAGE) -> str:
    """A row of a mass as the originals have it, of two lines; no UID is another's."""
    _, _, digits, side, view = image.split("_")
    return (
        f"P_{digits},2,{side},{view},1,mass,OVAL,CIRCUMSCRIBED,3,BENIGN,4,{image}/1/{image}/000000.dcm,"
        f'{image}_1/1/{image}_1/000000.dcm,"{image}_1/1/{image}_1/000001.dcm\n"\n'
    )


def save_dicom(path: Path, pixels: np.ndarray, series: str) -> None:
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "2.25.1"
    data.SeriesDescription, data.PatientName = series, "Jane^Doe"
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = pixels.shape
    data.BitsAllocated = data.BitsStored = 8 * pixels.itemsize
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, 0
    data.PixelData = pixels.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)


def blob(size: tuple[int, int] = SIZE) -> np.ndarray:
    mask = np.zeros(size, dtype=np.uint8)
    mask[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = 255
    return mask


def save_lesion(root: Path, files: dict[str, tuple[np.ndarray, str]], number: int = 1) -> None:
    for name, (pixels, series) in files.items():
        save_dicom(root / f"{IMAGE}_{number}" / "1.2" / "3.4" / name, pixels, series)


def usual() -> dict[str, tuple[np.ndarray, str]]:
    return {
        "000000.dcm": (np.full((20, 14), 999, np.uint16), CROP),
        "000001.dcm": (blob(), MASK),
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One image with its full image, crop and mask."""
    (tmp_path / TRAIN).write_text(HEADER + row())
    save_dicom(tmp_path / IMAGE / "1.2" / "3.4" / "000000.dcm", np.ones(SIZE, np.uint16), FULL)
    save_lesion(tmp_path, usual())
    return tmp_path


def test_a_whole_image(root, read):
    (image,), findings = read(root)
    assert findings == []
    assert (image.height, image.width, image.path) == (*SIZE, f"{IMAGE}/1.2/3.4/000000.dcm")
    assert (image.origin, image.row, image.split, image.birads) == (TRAIN, 2, "train", "3")
    assert (image.patient_id, image.exam_id, image.side, image.view, image.chest_wall) == (
        "P_00001", "P_00001", "left", "CC", "",
    )  # fmt: skip
    region = image.lesions[0].outline.rasterise(*SIZE)
    assert np.array_equal(region.whole(*SIZE), blob() > 0)
    assert pickle.loads(pickle.dumps(image)) == image
    assert "Jane" not in repr(image)


def test_size_tells_where_descriptions_are_swapped(root, read):
    files = usual()
    crop, mask = files["000000.dcm"][0], files["000001.dcm"][0]
    save_lesion(root, {"000000.dcm": (mask, CROP), "000001.dcm": (crop, MASK)})
    (image,), (finding,) = read(root)
    assert finding[:3] == ("note", TRAIN, 2)
    assert "has its image's size, but is described as 'cropped images'" in finding[3]
    assert finding[5] == "taken as the mask"
    assert image.lesions[0].outline.path.name == "000000.dcm"


@pytest.mark.parametrize("described", ["", MASK])
def test_a_crop_under_the_masks_description_or_none(root, described, read):
    save_lesion(root, {"000000.dcm": (usual()["000000.dcm"][0], described)})
    (image,), findings = read(root)
    assert findings == []
    assert image.lesions[0].outline.path.name == "000001.dcm"


def test_only_a_crop(root, read):
    (root / f"{IMAGE}_1/1.2/3.4/000001.dcm").unlink()
    (image,), (finding,) = read(root)
    assert finding[:3] == ("error", TRAIN, 2)
    assert finding[3] == f"no mask: {IMAGE}_1/1.2/3.4/000000.dcm is a crop"
    assert (image.has_mask, image.lesions[0].outline, image.label) == (False, None, 0)


def test_only_a_crop_described_as_a_mask(root, read):
    (root / f"{IMAGE}_1/1.2/3.4/000001.dcm").unlink()
    save_lesion(root, {"000000.dcm": (usual()["000000.dcm"][0], MASK)})
    (image,), (finding,) = read(root)
    assert finding[0] == "error"
    assert "must have the same size, but the mask" in finding[3]
    assert image.lesions[0].outline is None


def test_a_mask_of_another_size_and_the_same_shape_is_stretched(root, read):
    save_lesion(root, {"000001.dcm": (blob((48, 32)), MASK)})
    (image,), (finding,) = read(root)
    assert (finding[0], finding[5]) == ("note", "stretched to the image")
    assert "is 48 x 32 and the image 60 x 40" in finding[3]
    mask = image.lesions[0].outline.rasterise(*SIZE).whole(*SIZE)
    assert np.array_equal(mask, blob() > 0)


def test_a_mask_of_another_shape_is_an_error(root, read):
    save_lesion(root, {"000001.dcm": (blob((60, 42)), MASK)})
    (image,), (finding,) = read(root)
    assert finding[:3] == ("error", TRAIN, 2)
    assert "is 60 x 42 and the image 60 x 40" in finding[3]
    assert image.has_mask is False


def test_an_absent_full_image(root, read):
    shutil.rmtree(root / IMAGE)
    (image,), (finding,) = read(root)
    message = f"no such file: there must be a full image in a folder {IMAGE}"
    assert finding == ("error", TRAIN, 2, message, IMAGE, "")
    assert (image.height, image.width, image.path) == (0, 0, "")
    assert image.lesions[0].outline.path.name == "000001.dcm"
    with pytest.raises(DataError):
        image.pixels()


@pytest.mark.parametrize("folder", [IMAGE, f"{IMAGE}_1"])
def test_a_damaged_file_is_one_error_and_the_others_are_read(root, folder, read):
    other = "Mass-Training_P_00002_LEFT_CC"
    with (root / TRAIN).open("a") as stream:
        stream.write(row(other))
    for name in (IMAGE, f"{IMAGE}_1"):
        shutil.copytree(root / name, root / name.replace(IMAGE, other))
    damaged = sorted((root / folder).rglob("*.dcm"))[-1]
    damaged.write_bytes(damaged.read_bytes()[:200])
    images, findings = read(root)
    assert {finding[:3] for finding in findings} == {("error", TRAIN, 2)}
    assert "damaged" in findings[0][3]
    assert all(finding[4] == IMAGE for finding in findings)
    assert (images[1].height, images[1].has_mask) == (SIZE[0], True)
    assert len(findings) == (1 if folder == IMAGE else 2)  # the crop that is left is no mask


def test_folders_without_a_row_are_left_out(root, read):
    extra = "Mass-Training_P_00077_RIGHT_MLO"
    calc = "Calc-Training_P_00077_RIGHT_MLO"
    for name in (extra, f"{IMAGE}_2", calc):
        save_dicom(root / name / "1" / "2" / "1-1.dcm", np.ones(SIZE, np.uint16), FULL)
    images, findings = read(root)
    assert len(images) == 1
    assert [(f[0], f[1], f[4], f[5]) for f in findings] == [
        ("note", f"{IMAGE}_2/1/2/1-1.dcm", IMAGE, "left out"),
        ("note", f"{extra}/1/2/1-1.dcm", extra, "left out"),
    ]


def test_other_files_are_passed_over(root, read):
    for name in ("LICENSE", f"{IMAGE}/1.2/3.4/LICENSE", f"{IMAGE}/1.2/3.4/._000000.dcm"):
        (root / name).write_text("no image")
    assert read(root)[1] == []
