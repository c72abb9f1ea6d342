"""From stored values to what a display would show: modality and VOI transforms of DICOM PS3.3.

V = stored values.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

Values = NDArray[np.float64]


class VoiError(ValueError):
    """A LUT or window cannot be used; the message holds no value of the header."""


def modality_values(stored_V: Values, dataset: Dataset) -> Values:
    """Apply the modality LUT or rescale, if there is one (C.11.1).

    Raises:
        VoiError: the LUT is damaged.
    """
    if items := dataset.get("ModalityLUTSequence"):
        return _looked_up(stored_V, items[0], _is_little_endian(dataset))[0]
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    if slope is None or intercept is None:
        return stored_V
    return stored_V * float(slope) + float(intercept)


def has_voi(dataset: Dataset) -> bool:
    """Tell whether there is a VOI LUT or a window."""
    window = (dataset.get("WindowCenter"), dataset.get("WindowWidth"))
    return bool(dataset.get("VOILUTSequence")) or None not in window


def voi_shares(values_V: Values, dataset: Dataset) -> Values:
    """Apply the first VOI LUT, else the first window: the share of the output range, 0 to 1.

    Raises:
        VoiError: the LUT or window is damaged.
    """
    if items := dataset.get("VOILUTSequence"):
        out_V, top = _looked_up(values_V, items[0], _is_little_endian(dataset))
        return np.clip(out_V / top, 0, 1)
    centre, width = (_first(dataset[name].value) for name in ("WindowCenter", "WindowWidth"))
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    return _windowed(values_V, centre, width, function)


def _windowed(values_V: Values, centre: float, width: float, function: str) -> Values:
    """C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID) and C.11.2.1.3.2 (LINEAR_EXACT)."""
    least = 1.0 if function == "LINEAR" else np.finfo(float).tiny
    if not (np.isfinite(centre) and least <= width < np.inf):
        raise VoiError("a window must have a finite centre and a positive width")
    if function == "SIGMOID":
        steps_V = np.clip(-4 * (values_V - centre) / width, -500, 500)  # exp stays finite
        return np.asarray(1 / (1 + np.exp(steps_V)))
    if function not in ("LINEAR", "LINEAR_EXACT"):
        raise VoiError("the VOI LUT function must be LINEAR, LINEAR_EXACT or SIGMOID")
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    if width == 0:  # a threshold
        return (values_V > centre).astype(np.float64)
    return np.clip((values_V - centre) / width + 0.5, 0, 1)


def _looked_up(values_V: Values, item: Dataset, little_endian: bool) -> tuple[Values, int]:
    """Give the entries of a LUT and the largest value that one may have (C.11.1.1.1).

    Values below the first that is mapped get the first entry, those above the last one the last.
    """
    n_entries, first, bits = (int(value) for value in item.LUTDescriptor)
    n_entries = n_entries or 2**16
    entries = _entries(item.LUTData, n_entries, little_endian)
    if len(entries) != n_entries or not 8 <= bits <= 16:
        raise VoiError("a LUT must have as many entries as its descriptor says, of 8 to 16 bits")
    at_V = np.clip(np.floor(values_V - first + 0.5), 0, n_entries - 1).astype(np.int64)
    return entries[at_V], (1 << bits) - 1


def _entries(data: Any, n_entries: int, little_endian: bool) -> Values:
    """Read entries of 16 bits, or of 8 where there are as many bytes as entries."""
    if not isinstance(data, bytes):  # VR US
        return np.asarray(data, dtype=np.float64).reshape(-1)
    is_byte = len(data) == n_entries + n_entries % 2 and n_entries > 1
    kind = "u1" if is_byte else ("<u2" if little_endian else ">u2")
    entries = np.frombuffer(data, dtype=kind)
    return entries[:n_entries].astype(np.float64) if is_byte else entries.astype(np.float64)


def _first(value: Any) -> float:
    return float(value if isinstance(value, (int, float)) else value[0])


def _is_little_endian(dataset: Dataset) -> bool:
    return bool(dataset.file_meta.TransferSyntaxUID.is_little_endian)
