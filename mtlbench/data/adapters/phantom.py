"""The embedded data set: mammogram-like images that need no folder."""

from functools import partial
from pathlib import Path

from mtlbench.config import DataConfig
from mtlbench.data.mammogram import Index, Mammogram
from mtlbench.data.phantoms.anatomy import FIELD_MM
from mtlbench.data.phantoms.image import draw_lesions, render
from mtlbench.data.phantoms.patient import SIDES, VIEWS, Patient, Side, View, draw_patient
from mtlbench.errors import DataError


def read(root: Path, config: DataConfig) -> Index:
    """Index `config.patients` phantom patients, four views each; `root` is not used.

    Nothing is drawn until `Mammogram.pixels` is called. Right breasts are mirrored: the chest
    wall is at the left of every image.

    Raises:
        DataError: the size is too narrow for a breast.

    """
    height, width = config.size
    if width < 0.7 * height:
        raise DataError(
            f"phantom: the width must be at least 0.7 of the height, but size is {height} x {width}"
        )
    mammograms = []
    for number in range(1, config.patients + 1):
        patient = draw_patient(config.phantom_seed, number)
        mammograms += [
            _mammogram(config, number, patient, side, view) for side in SIDES for view in VIEWS
        ]
    return Index(mammograms, [])


def _mammogram(
    config: DataConfig, number: int, patient: Patient, side: Side, view: View
) -> Mammogram:
    seed, size, difficulty = config.phantom_seed, config.size, config.difficulty
    lesions = draw_lesions(seed, number, patient, side, view, size, difficulty)
    patient_id = f"P{number:04d}"
    return Mammogram(
        image_id=f"{patient_id}_{side.upper()}_{view}",
        patient_id=patient_id,
        pixels=partial(render, seed, number, side, view, size, difficulty),
        height=size[0],
        width=size[1],
        exam_id=f"{patient_id}_1",
        side=side,
        view=view,
        label=int(any(lesion.pathology == "malignant" for lesion in lesions)),
        label_source="phantom truth",
        density=str(patient.density),
        scanner=patient.scanner,
        spacing_mm=FIELD_MM / size[0],
        lesions=lesions,
        chest_wall="left",
    )
