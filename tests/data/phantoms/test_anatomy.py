import numpy as np
import pytest

from mtlbench.data.phantoms.anatomy import FIELD_MM, draw_anatomy
from mtlbench.data.phantoms.patient import SIDES, VIEWS, draw_patient


@pytest.mark.parametrize("number", range(1, 9))
def test_area_is_that_of_the_pixels_beneath_the_skin(number: int) -> None:
    patient, step = draw_patient(0, number), 0.9
    y, x = (np.arange(0, FIELD_MM, step) + step / 2 for _ in range(2))
    for view in VIEWS:
        anatomy = draw_anatomy(0, number, patient, "left", view)
        inside = anatomy.skin_distance(x, y[:, None]) > 0
        assert anatomy.area_mm2 == pytest.approx(inside.sum() * step**2, rel=0.02)


@pytest.mark.parametrize("number", range(1, 31))
def test_lesions_are_placed_in_the_breast_and_off_the_muscle(number: int) -> None:
    patient = draw_patient(0, number)
    for side in SIDES:
        for view in VIEWS:
            anatomy = draw_anatomy(0, number, patient, side, view)
            for depth in (0.2, 0.5, 0.8):
                for lateral in (-1.0, 0.0, 1.0):
                    x, y = (np.array([value]) for value in anatomy.place(depth, lateral))
                    assert anatomy.skin_distance(x, y)[0] > 2
                    assert x[0] > 0
                    assert 0 < y[0] < FIELD_MM
                    if lateral:
                        assert anatomy.muscle_distance(x, y)[0] < 0
