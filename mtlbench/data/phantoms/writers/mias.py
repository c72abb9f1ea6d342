"""Phantoms as mini-MIAS is distributed: square PGMs and `Info.txt` with circles."""

from pathlib import Path

import numpy as np
from PIL import Image

from mtlbench.config import DataConfig
from mtlbench.data.adapters.phantom import read
from mtlbench.data.mammogram import Lesion, Mammogram
from mtlbench.data.outlines import Polygon
from mtlbench.errors import DataError
from mtlbench.records import write_text

SIDE = 1024
"""Height and width of an image of mini-MIAS."""
DRAWN = (1024, 740)
"""Size at which a phantom is drawn for it: the whole height of the field, so 0.225 mm a pixel."""
MAX_PATIENTS = 499
"""Images are numbered with three digits, two a patient."""
WIDESPREAD = 60
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


def write(folder: Path, config: DataConfig) -> None:
    """Write `mdbNNN.pgm`, 1024 x 1024, MLO views only, and `Info.txt`; `config.size` is not used.

    Raises:
        DataError: more patients than three digits can number.

    """
    if config.patients > MAX_PATIENTS:
        raise DataError(
            f"{folder}: mini-MIAS's layout holds at most {MAX_PATIENTS} patients, "
            f"but got {config.patients}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    drawn = read(folder, config.model_copy(update={"size": DRAWN})).mammograms
    rows = []
    for number, mammogram in enumerate((m for m in drawn if m.view == "MLO"), start=1):
        name = f"mdb{number:03d}"
        Image.fromarray(_pixels(mammogram)).save(folder / f"{name}.pgm")
        start = f"{name} {_TISSUE[mammogram.density]}"
        findings = [_finding(lesion, mammogram) for lesion in mammogram.lesions]
        rows += [f"{start} {finding}" for finding in findings or ["NORM"]]
    write_text(folder / "Info.txt", _INFO.format(rows="\n".join(rows)))


def _pixels(mammogram: Mammogram) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Centre the image in the square; left breasts have their chest wall at the right border."""
    square = np.zeros((SIDE, SIDE), dtype=np.uint8)
    margin = (SIDE - DRAWN[1]) // 2
    square[:, margin : margin + DRAWN[1]] = mammogram.pixels()
    return square[:, ::-1] if mammogram.side == "left" else square


def _finding(lesion: Lesion, mammogram: Mammogram) -> str:
    """Give a row's class, severity and enclosing circle, its y counted from the bottom."""
    assert isinstance(lesion.outline, Polygon)
    points = np.asarray(lesion.outline.points)
    centre = points.mean(axis=0)
    radius = round(float(np.hypot(*(points - centre).T).max()))
    malignant = lesion.pathology == "malignant"
    mass = "SPIC" if malignant else "CIRC"
    start = f"{mass if lesion.type == 'mass' else 'CALC'} {'M' if malignant else 'B'}"
    if lesion.type == "calcification" and radius >= WIDESPREAD:
        return f"{start} *NOTE 3*"
    x = centre[0] + (SIDE - DRAWN[1]) // 2
    x = SIDE - 1 - x if mammogram.side == "left" else x
    return f"{start} {round(x)} {SIDE - round(centre[1])} {radius}"
