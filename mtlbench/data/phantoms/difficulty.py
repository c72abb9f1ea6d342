"""How hard a phantom is: one frozen set of gains, and the two that a study file may name."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Difficulty:
    """Gains on what makes lesions visible and tells them apart; 1 throughout is reality."""

    texture: float = 1.0
    """Contrast of glands, strands and vessels."""
    mass_size: float = 1.0
    """Radius of masses."""
    mass_contrast: float = 1.0
    """Brightness of masses over the tissue."""
    spicules: float = 1.0
    """Length, width and brightness of the strands that leave a malignant mass."""
    blur: float = 1.0
    """Width of the margin of an ill-defined malignant mass."""
    cluster_size: float = 1.0
    """Extent of a region of calcifications."""
    grain_contrast: float = 1.0
    """Brightness of calcifications."""


DIFFICULTIES = {
    "real": Difficulty(),
    "easy": Difficulty(
        texture=0.55,
        mass_size=1.8,
        mass_contrast=2.2,
        spicules=3.5,
        blur=1.6,
        cluster_size=1.8,
        grain_contrast=55.0,
    ),
}
"""`real` matches the measurements in `docs/phantoms.md`; `easy` is the quickstart's."""
