"""The JPEG edition of CBIS-DDSM, as `tests/data/conftest.py` makes it of phantoms."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mtlbench.config import DataConfig


@pytest.fixture(scope="module")
def written_jpegs(tmp_path_factory, write_jpeg_edition) -> Path:
    root = tmp_path_factory.mktemp("jpeg")
    write_jpeg_edition(root, DataConfig(size=(96, 72), patients=10, phantom_seed=2))
    return root


@pytest.fixture
def jpegs(written_jpegs, tmp_path) -> Path:
    return shutil.copytree(written_jpegs, tmp_path / "jpeg-edition")


@pytest.fixture
def errors(read) -> Callable[[Path], list[tuple]]:
    """Give what reads the errors."""
    return lambda root: [finding for finding in read(root)[1] if finding[0] == "error"]


def test_jpegs_with_and_without_their_descriptions(jpegs, read, errors):
    described = read(jpegs)
    assert errors(jpegs) == []
    (jpegs / "csv/dicom_info.csv").unlink()
    assert read(jpegs) == described


def test_jpegs_need_no_name_of_a_folder(jpegs, errors):
    (jpegs / "CBIS-DDSM").mkdir()
    (jpegs / "jpeg").rename(jpegs / "CBIS-DDSM" / "images")
    assert errors(jpegs) == []


def test_a_jpeg_of_another_patient_is_refused(jpegs, read, errors):
    info = pd.read_csv(jpegs / "csv/dicom_info.csv", dtype=str)
    info.loc[0, "PatientID"] = "Mass-Training_P_09999_LEFT_CC"
    info.to_csv(jpegs / "csv/dicom_info.csv", index=False)
    (finding,) = errors(jpegs)
    assert finding[3].endswith(f"must be an image of {finding[4]}, but is not by dicom_info.csv")
    assert "Secret" not in str(read(jpegs))


def test_a_series_of_two_images_is_refused(jpegs, errors):
    path = next((jpegs / "csv").glob("mass*train*"))
    (jpegs / "csv/dicom_info.csv").unlink()
    first, second = path.read_text().split("\n")[1], path.read_text().split("\n")[3]
    series = [line.split(",")[11].split("/")[2] for line in (first, second)]
    path.write_text(path.read_text().replace(series[1], series[0]))
    (finding,) = errors(jpegs)
    assert finding[2] == 4
    assert finding[3].startswith(f"series {series[0]} must be of ")


def test_an_absent_and_a_damaged_jpeg(jpegs, read, errors):
    image = next(m for m in read(jpegs)[0] if m.split == "train")
    (jpegs / image.path).write_bytes(b"\xff\xd8\xff\xe0 and no more")
    (finding,) = errors(jpegs)
    assert finding[4] == image.image_id
    assert "cannot be read as one" in finding[3]
    (jpegs / image.path).unlink()
    (finding,) = errors(jpegs)
    assert finding[3].startswith("no such file")
    assert finding[2] == image.row


def test_faults_of_dicom_info(jpegs, errors):
    path = jpegs / "csv/dicom_info.csv"
    lines = path.read_text().split("\n")
    lines[3] += ",more"
    path.write_text("\n".join(lines))
    (finding,) = errors(jpegs)
    assert finding[:3] == ("error", "csv/dicom_info.csv", 4)
    path.write_text("nothing,of,this\n1,2,3\n")
    (finding,) = errors(jpegs)
    assert "must have a column 'image path'" in finding[3]


def test_a_jpeg_mask_is_its_upper_half(jpegs, read):
    image = read(jpegs)[0][0]
    outline = image.lesions[0].outline
    values = np.asarray(Image.open(outline.path))
    mask = outline.rasterise(*values.shape).whole(*values.shape)
    assert np.array_equal(mask, values >= 128)
