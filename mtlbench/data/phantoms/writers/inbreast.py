"""Phantoms as INbreast is released: DICOM files, XML of regions, `INbreast.csv` and `.xls`.

The quirks of the original are in: no XML for normals, ML for MLO in file names, a totals row in
the .xls, a column `Mass ` with a space, BI-RADS as numbers and as 4a to 4c, single points.
"""

import plistlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xlwt
from numpy.typing import NDArray

from mtlbench.config import DataConfig
from mtlbench.data.adapters.phantom import read
from mtlbench.data.mammogram import Lesion, Mammogram
from mtlbench.data.outlines import Polygon
from mtlbench.data.phantoms.writers.dicom_file import write_dicom
from mtlbench.records import atomic_path, digest, write_text

BITS = 14
"""Of 16; a grey level of 8 bits is written times 64."""
FIRST_NUMBER = 20586908
COLUMNS = (
    "Patient ID", "Patient age", "Laterality", "View", "Acquisition date", "File Name", "ACR",
    "Bi-Rads",
)  # fmt: skip
MARKS = {"Mass ": "mass", "Micros": "calcification", "Distortion": "other", "Asymmetry": "other"}
_BIRADS = {"normal": ("1",), "benign": ("2", "3"), "malignant": ("4a", "4b", "4c", "5", "6")}
_NAMES = {
    ("mass", "benign"): "Mass", ("mass", "malignant"): "Spiculated Region",
    ("calcification", "benign"): "Calcifications", ("calcification", "malignant"): "Cluster",
}  # fmt: skip


def write(folder: Path, config: DataConfig) -> None:
    """Write `AllDICOMs/`, `AllXML/`, then `INbreast.xls` and `INbreast.csv`."""
    for name in ("AllDICOMs", "AllXML"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rows = []
    for count, drawn in enumerate(read(folder, config).mammograms):
        number = FIRST_NUMBER + 26 * count
        _write_image(folder / "AllDICOMs" / _file_name(number, drawn), drawn)
        if drawn.lesions:
            regions = [region for lesion in drawn.lesions for region in _regions(lesion, drawn)]
            write_text(folder / "AllXML" / f"{number}.xml", _property_list(regions, drawn))
        rows.append(_row(number, count, drawn))
    with atomic_path(folder / "INbreast.xls") as temporary:
        _workbook(rows).save(str(temporary))
    lines = [";".join(COLUMNS), *(";".join(row[name] for name in COLUMNS) for row in rows)]
    write_text(folder / "INbreast.csv", "\n".join([*lines, ""]))


def _file_name(number: int, drawn: Mammogram) -> str:
    view = "CC" if drawn.view == "CC" else "ML"
    return f"{number}_{digest(drawn.patient_id)}_MG_{drawn.side[0].upper()}_{view}_ANON.dcm"


def _write_image(path: Path, drawn: Mammogram) -> None:
    pixels_HW = drawn.pixels() * np.uint16(1 << (BITS - 8))
    write_dicom(path, pixels_HW if drawn.side == "left" else pixels_HW[:, ::-1], drawn, bits=BITS)


def _regions(lesion: Lesion, drawn: Mammogram) -> list[dict[str, Any]]:
    """Give a lesion's outline, and for calcifications one of them, as a point within."""
    assert isinstance(lesion.outline, Polygon)
    assert lesion.pathology is not None
    points_N2 = np.asarray(lesion.outline.points)
    if drawn.side == "right":
        points_N2 = points_N2 * (-1, 1) + (drawn.width - 1, 0)
    regions = [_region(_NAMES[lesion.type, lesion.pathology], points_N2)]
    if lesion.type == "calcification":
        polygon = Polygon(tuple((x, y) for x, y in points_N2.tolist()))
        region = polygon.rasterise(drawn.height, drawn.width)
        spots_N2 = np.argwhere(region.mask_hw)[:, ::-1] + (region.left, region.top)
        regions.append(_region("Calcification", spots_N2[len(spots_N2) // 2 :][:1]))
    return regions


def _region(name: str, points_N2: NDArray[Any]) -> dict[str, Any]:
    texts = [f"({x:f}, {y:f})" for x, y in points_N2.tolist()]
    # OsiriX's types: 15 a pencil's line, 19 a point.
    kind = 15 if len(texts) > 1 else 19
    return {"Name": name, "NumberOfPoints": len(texts), "Point_px": texts, "Type": kind}


def _property_list(regions: list[dict[str, Any]], drawn: Mammogram) -> str:
    image = {
        "ImageHeight": drawn.height,
        "ImageIndex": 0,
        "ImageTotalNum": 1,
        "ImageWidth": drawn.width,
        "NumberOfROIs": len(regions),
        "ROIs": [{"IndexInImage": index, **region} for index, region in enumerate(regions)],
    }
    return plistlib.dumps({"Images": [image]}).decode()


def _row(number: int, count: int, drawn: Mammogram) -> dict[str, str]:
    """Give the cells of both listings; patients and dates are removed, as in the original."""
    health = {0: "benign", 1: "malignant"}[drawn.label or 0] if drawn.lesions else "normal"
    kinds = {lesion.type for lesion in drawn.lesions}
    return {
        "Patient ID": "removed",
        "Patient age": "removed",
        "Laterality": drawn.side[0].upper(),
        "View": drawn.view,
        "Acquisition date": "201001",
        "File Name": str(number),
        "ACR": drawn.density,
        "Bi-Rads": _BIRADS[health][count % len(_BIRADS[health])],
        **{name: "X" if kind in kinds else "" for name, kind in MARKS.items()},
    }


def _workbook(rows: Sequence[Mapping[str, str]]) -> Any:
    """Give the .xls: numbers as numbers, then a blank row, then one of totals."""
    book = xlwt.Workbook()
    sheet = book.add_sheet("INbreast")
    totals = {name: str(sum(row[name] == "X" for row in rows)) for name in MARKS}
    header = {name: name for name in rows[0]}
    for at, row in enumerate([header, *rows, {}, totals]):
        for column, name in enumerate(header):
            if text := row.get(name, ""):
                sheet.write(at, column, int(text) if text.isdigit() else text)
    return book
