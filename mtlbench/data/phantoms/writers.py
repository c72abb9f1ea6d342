"""Phantoms as files in a data set's own layout: name → writer, in `WRITERS`.

Each writer writes the images first and the file that lists them last, atomically: a folder
without that file is not taken for a data set.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from mtlbench.config import DataConfig
from mtlbench.data.adapters.phantom import read
from mtlbench.data.convert import paint
from mtlbench.data.mammogram import Lesion, Mammogram, Polygon
from mtlbench.data.resample import place
from mtlbench.errors import DataError
from mtlbench.records import write_csv, write_text

MIAS_SIDE = 1024
"""Height and width of an image of mini-MIAS."""
MIAS_DRAWN = (1024, 740)
"""Size at which a phantom is drawn for it: the whole height of the field, so 0.225 mm a pixel."""
MIAS_PATIENTS = 499
"""Images are numbered with three digits, two a patient."""
MIAS_WIDESPREAD = 60
"""Radius in pixels from which calcifications get no circle but note 3."""

_TISSUE = {"1": "F", "2": "G", "3": "D", "4": "D"}
_INFO = """\
Phantoms in the layout of the MIAS MiniMammographic Database: computer-drawn images, no patients.

1st column: reference number; odd: left breast, even: right breast of the same patient
2nd column: background tissue: F - fatty, G - fatty-glandular, D - dense-glandular
3rd column: CIRC - well-defined mass, SPIC - spiculated or ill-defined mass,
            CALC - calcification, NORM - normal
4th column: B - benign, M - malignant
5th, 6th columns: x, y of the centre, origin bottom left
7th column: radius in pixels of a circle enclosing the abnormality
*NOTE 3*: calcifications too widely spread for a circle

=================================================================

{rows}

=================================================================
"""


def write(folder: Path, layout: str, config: DataConfig) -> None:
    """Write `config.patients` phantom patients as one of `WRITERS` into a new or empty folder.

    Raises:
        DataError: the folder is not empty, or the layout cannot hold so many patients.

    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: must be a new or empty folder, but there is something in it")
    WRITERS[layout](folder, config)


def write_folder(folder: Path, config: DataConfig) -> None:
    """Write `images/`, class-valued `masks/` (0..4), both PNG, and `manifest.csv`."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "masks").mkdir(exist_ok=True)
    rows = []
    for mammogram in read(folder, config).mammograms:
        row = _manifest_row(mammogram)
        Image.fromarray(mammogram.pixels()).save(folder / row["image"])
        Image.fromarray(_class_mask(mammogram)).save(folder / row["mask"])
        rows.append(row)
    write_csv(folder / "manifest.csv", list(rows[0]), rows)


def _manifest_row(mammogram: Mammogram) -> dict[str, str]:
    return {
        "image_id": mammogram.image_id,
        "patient_id": mammogram.patient_id,
        "exam_id": mammogram.exam_id,
        "side": mammogram.side,
        "view": mammogram.view,
        "image": f"images/{mammogram.image_id}.png",
        "mask": f"masks/{mammogram.image_id}.png",
        "label": str(mammogram.label),
        "density": mammogram.density,
        "birads": mammogram.birads,
        "spacing_mm": str(mammogram.spacing_mm),
        "split": mammogram.split,
        "scanner": mammogram.scanner,
    }


def _class_mask(mammogram: Mammogram) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    size = (mammogram.height, mammogram.width)
    outlines = [lesion.outline for lesion in mammogram.lesions]
    masks = [None if outline is None else outline.rasterise(*size) for outline in outlines]
    return paint(mammogram.lesions, masks, place(size, size), "ignore")


def write_mias(folder: Path, config: DataConfig) -> None:
    """Write `mdbNNN.pgm`, 1024 x 1024, MLO views only, and `Info.txt`; `config.size` is not used.

    Raises:
        DataError: more patients than three digits can number.

    """
    if config.patients > MIAS_PATIENTS:
        raise DataError(
            f"{folder}: mini-MIAS's layout holds at most {MIAS_PATIENTS} patients, "
            f"but got {config.patients}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    drawn = read(folder, config.model_copy(update={"size": MIAS_DRAWN})).mammograms
    rows = []
    for number, mammogram in enumerate((m for m in drawn if m.view == "MLO"), start=1):
        name = f"mdb{number:03d}"
        Image.fromarray(_mias_pixels(mammogram)).save(folder / f"{name}.pgm")
        start = f"{name} {_TISSUE[mammogram.density]}"
        findings = [_mias_finding(lesion, mammogram) for lesion in mammogram.lesions]
        rows += [f"{start} {finding}" for finding in findings or ["NORM"]]
    write_text(folder / "Info.txt", _INFO.format(rows="\n".join(rows)))


def _mias_pixels(mammogram: Mammogram) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Centre the image in the square; left breasts have their chest wall at the right border."""
    square = np.zeros((MIAS_SIDE, MIAS_SIDE), dtype=np.uint8)
    margin = (MIAS_SIDE - MIAS_DRAWN[1]) // 2
    square[:, margin : margin + MIAS_DRAWN[1]] = mammogram.pixels()
    return square[:, ::-1] if mammogram.side == "left" else square


def _mias_finding(lesion: Lesion, mammogram: Mammogram) -> str:
    """Give a row's class, severity and enclosing circle, its y counted from the bottom."""
    assert isinstance(lesion.outline, Polygon)
    points = np.asarray(lesion.outline.points)
    centre = points.mean(axis=0)
    radius = round(float(np.hypot(*(points - centre).T).max()))
    malignant = lesion.pathology == "malignant"
    mass = "SPIC" if malignant else "CIRC"
    start = f"{mass if lesion.type == 'mass' else 'CALC'} {'M' if malignant else 'B'}"
    if lesion.type == "calcification" and radius >= MIAS_WIDESPREAD:
        return f"{start} *NOTE 3*"
    x = centre[0] + (MIAS_SIDE - MIAS_DRAWN[1]) // 2
    x = MIAS_SIDE - 1 - x if mammogram.side == "left" else x
    return f"{start} {round(x)} {MIAS_SIDE - round(centre[1])} {radius}"


WRITERS: dict[str, Callable[[Path, DataConfig], None]] = {
    "folder": write_folder,
    "mias": write_mias,
}
