"""Optical density of DDSM's films from their grey levels, by digitiser.

University of South Florida, DDSM: "Grey level to optical density"; p is the stored value.
"""

import re

import numpy as np

from mtlbench.config import Intensity
from mtlbench.data.pixels.base import Table
from mtlbench.errors import DataError

MAX_DENSITY = 4.0
"""Density that becomes 0; density 0 becomes 65,535, so that dense tissue stays bright."""
_LINEAR = {
    ("A", "HOWTEK"): (3.78928998, 0.00094568),
    ("B", "LUMISYS"): (4.05977749, 0.00099081),
    ("C", "LUMISYS"): (4.05977749, 0.00099081),
    ("D", "HOWTEK"): (3.96604095, 0.00099056),
}
"""Hospital (a case's first letter; A: MGH, D: ISMD) and maker → a, b of a - b p."""
_DBA = (4.26700423, 0.90303290)
"""a, b of a - b log10(p): MGH's DBA."""


def film_tone(hospital: str, digitizer: str, intensity: Intensity) -> Table | None:
    """Give the table from stored values to grey levels; None: as stored.

    `optical-density` gives 65,535 (1 - D/4), D clipped to 0 and 4.

    Raises:
        DataError: `window`, which films have not, or a digitiser without a calibration.
    """
    if intensity == "raw":
        return None
    if intensity == "window":
        raise DataError('intensity "window" needs a DICOM header: films have none')
    stored = np.arange(1 << 16, dtype=np.float64)
    maker = re.split(r"[^A-Z]", digitizer.upper())[0]
    if (hospital, maker) == ("A", "DBA"):
        density = _DBA[0] - _DBA[1] * np.log10(np.maximum(stored, 1))
    elif (hospital, maker) in _LINEAR:
        a, b = _LINEAR[hospital, maker]
        density = a - b * stored
    else:
        raise DataError(
            f"optical density needs a calibration, but there is none of digitiser {digitizer!r} "
            f"at hospital {hospital!r}"
        )
    share = 1 - np.clip(density, 0, MAX_DENSITY) / MAX_DENSITY
    return np.floor(share * 65535 + 0.5).astype(np.uint16)
