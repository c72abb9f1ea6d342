"""Who a phantom patient is and what she has: drawn before, and apart from, any pixel."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Side = Literal["left", "right"]
View = Literal["CC", "MLO"]
SIDES: tuple[Side, ...] = ("left", "right")
VIEWS: tuple[View, ...] = ("CC", "MLO")

DENSITY_SHARES = (0.20, 0.45, 0.26, 0.09)
"""ACR density 1 to 4 among the mass images of CBIS-DDSM."""
NORMAL, BENIGN = 0.40, 0.29
"""Shares of patients without a finding and with a benign one; the rest have cancer."""
CONTENTS: tuple[tuple[tuple[str, ...], float], ...] = (
    (("mass",), 0.60),
    (("calcification",), 0.30),
    (("mass", "calcification"), 0.10),
)
"""What a breast with a finding holds, and how often."""
SECOND_BREAST = 0.08
"""Share of patients with cancer who have a benign finding in the other breast."""


@dataclass(frozen=True, slots=True)
class FindingPlan:
    """One lesion of a breast, as both of its views must show it."""

    number: int
    """Position among the patient's findings: the key of its random stream."""
    side: Side
    type: Literal["mass", "calcification"]
    malignant: bool
    depth: float
    """Distance from the nipple to the chest wall, 0 to 1; the same in both views."""
    lateral: dict[View, float]
    """Angle across the breast seen from the chest wall, -1 to 1, for each view."""
    extent: float
    """Standard normal deviate of the lesion's size."""
    contrast: float
    """Standard normal deviate of the lesion's contrast."""


@dataclass(frozen=True, slots=True)
class Patient:
    """What a patient's four images share."""

    density: int
    size: float
    """Linear scale of the breasts; 1 is the median."""
    gland_bias: float
    """More (or less) glandular tissue than usual for the density."""
    gland_contrast: float
    """Attenuation of glandular tissue over its usual value."""
    scanner: Literal["film A", "film B"]
    findings: tuple[FindingPlan, ...]

    def of(self, side: Side) -> tuple[FindingPlan, ...]:
        """Give the findings of one breast."""
        return tuple(finding for finding in self.findings if finding.side == side)


def stream(seed: int, patient: int, *key: int) -> np.random.Generator:
    """Open the random stream of one part of one patient: independent of every other part."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(patient, *key)))


def draw_patient(seed: int, patient: int) -> Patient:
    """Draw density, size and findings of patient number `patient` (from 1)."""
    rng = stream(seed, patient, 0)
    density = 1 + int(rng.choice(4, p=DENSITY_SHARES))
    size = float(np.exp(rng.normal(0.03 - 0.045 * (density - 2), 0.14)))
    bias, contrast = float(rng.normal(0, 0.3)), float(np.exp(rng.normal(0, 0.25)))
    scanner: Literal["film A", "film B"] = "film A" if rng.random() < 0.6 else "film B"
    health, first = rng.random(), int(rng.integers(2))
    findings: list[FindingPlan] = []
    if health >= NORMAL:
        malignant = health >= NORMAL + BENIGN
        findings += _draw_findings(rng, SIDES[first], malignant, 0)
        if malignant and rng.random() < SECOND_BREAST:
            findings += _draw_findings(rng, SIDES[1 - first], False, len(findings))
    return Patient(density, size, bias, contrast, scanner, tuple(findings))


def _draw_findings(
    rng: np.random.Generator, side: Side, malignant: bool, number: int
) -> list[FindingPlan]:
    contents = CONTENTS[int(rng.choice(len(CONTENTS), p=[share for _, share in CONTENTS]))][0]
    plans = []
    for offset, kind in enumerate(contents):
        depth, cc, mlo = rng.uniform(0.2, 0.8), rng.uniform(-1, 1), rng.uniform(-1, 1)
        extent, contrast = rng.standard_normal(2)
        lesion: Literal["mass", "calcification"] = "mass" if kind == "mass" else "calcification"
        plans.append(
            FindingPlan(
                number + offset,
                side,
                lesion,
                malignant,
                float(depth),
                {"CC": float(cc), "MLO": float(mlo)},
                float(extent),
                float(contrast),
            )
        )
    return plans
