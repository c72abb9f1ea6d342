"""The lesions of a view, drawn from their own random streams.

Indexing draws only these, rendering draws the same ones: masks are exact.
"""

from mtlbench.data.phantoms.anatomy import Anatomy
from mtlbench.data.phantoms.calcifications import draw_calcifications
from mtlbench.data.phantoms.difficulty import Difficulty
from mtlbench.data.phantoms.masses import draw_mass
from mtlbench.data.phantoms.patient import SIDES, VIEWS, Patient, Side, View, stream
from mtlbench.data.phantoms.shape import Shape


def draw_shapes(
    seed: int,
    number: int,
    patient: Patient,
    anatomy: Anatomy,
    side: Side,
    view: View,
    gains: Difficulty,
) -> list[Shape]:
    """Draw the lesions of one view of one breast."""
    shapes = []
    for plan in patient.of(side):
        rng = stream(seed, number, 2, SIDES.index(side), VIEWS.index(view), plan.number)
        x, y = anatomy.place(plan.depth, plan.lateral[view])
        if plan.type == "mass":
            shapes.append(draw_mass(rng, plan, x, y, anatomy, gains))
        else:
            shapes.append(draw_calcifications(rng, plan, x, y, anatomy.nipple, gains))
    return shapes
