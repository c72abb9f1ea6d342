"""The JPEG edition of CBIS-DDSM, which is read but not offered as a layout of phantoms."""

import pytest
from PIL import Image

from mtlbench.data.phantoms.writers.cbis_ddsm import NAME, images_of, views_of, write_descriptions
from mtlbench.records import write_csv


@pytest.fixture(scope="session")
def write_jpeg_edition():
    """Give what writes `jpeg/`, 8-bit, and `csv/` with `dicom_info.csv`, as the widespread copy."""

    def write(folder, config):
        views = views_of(folder, config)
        infos = []
        for count, (place, pixels) in enumerate(images_of(views)):
            path = f"jpeg/{place.series}/{place.number + 1}-{count:03d}.jpg"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / path, quality=95)
            infos.append(info(place, path, pixels.shape))
        write_csv(folder / "csv/dicom_info.csv", list(infos[0]), infos)
        write_descriptions(folder / "csv", views)

    return write


def info(place, path, size):
    """A row of `dicom_info.csv`; some have lost their description, as in the copy."""
    return {
        "image_path": f"CBIS-DDSM/{path}",
        "Columns": size[1],
        "PatientID": place.folder,
        "PatientName": NAME,
        "PatientOrientation": place.view.drawn.view,
        "Rows": size[0],
        "SeriesDescription": "" if place.view.patient % 2 == 0 else place.description,
        "SeriesInstanceUID": place.series,
    }
