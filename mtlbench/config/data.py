"""`[data]`: which pixels, which labels, which split."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from mtlbench.config.base import BIRADS_SETS, FromList, Intensity, Positive, Strict


def _number_as_text(value: object) -> object:
    """Take 5 for "5": TOML writes most categories as numbers."""
    return str(value) if type(value) is int else value


class LabelRule(Strict):
    """`[data.label_rule]`: what counts as cancer, as a mass, and as a case."""

    birads_cut: Annotated[
        Literal["3", "4", "4b", "4c", "5", "6"], BeforeValidator(_number_as_text)
    ] = "4"
    """Cancer from this BI-RADS category on, in data without biopsy (INbreast, VinDr-Mammo)."""
    benign_without_callback: Literal["benign", "exclude"] = "benign"
    """Lesions that were benign at sight (CBIS-DDSM, DDSM); an image of such alone is left out."""
    normals: Literal["keep", "exclude"] = "keep"
    """Images without any lesion that are not cancer."""
    mias_masses: FromList[tuple[Literal["CIRC", "SPIC", "MISC", "ARCH", "ASYM"], ...]] = (
        "CIRC", "SPIC", "MISC",
    )  # fmt: skip
    """Classes of mini-MIAS that are masses; those left over are `other`."""

    def describe(self, dataset: str) -> str:
        """Say in words what counts as cancer, and which images are no case."""
        by_birads = dataset in BIRADS_SETS
        words = f"BI-RADS {self.birads_cut} and above" if by_birads else "malignant"
        parts = [f"{words} against the rest"]
        if self.benign_without_callback == "exclude":
            parts.append("benign without callback left out")
        if self.normals == "exclude":
            parts.append("normals left out")
        return ", ".join(parts)


class DataConfig(Strict):
    """`[data]`: which pixels, which labels, which split. The same for every run of a study."""

    size: FromList[tuple[Positive, Positive]] = (1152, 832)
    """Height and width of the prepared images in pixels."""
    intensity: Intensity = "raw"
    """Grey levels as stored, through the DICOM header's window, or film's optical density."""
    artefacts: Literal["keep", "remove"] = "keep"
    """Whether what is bright outside the breast (labels, edges) is set to 0."""
    crop: Literal["none", "breast"] = "none"
    """Whether the image is cut to the breast before it is scaled."""
    faulty: Literal["refuse", "exclude"] = "refuse"
    """Whether an image with an error stops preparation, or is left out and listed."""
    label_rule: LabelRule = LabelRule()
    subset: Literal["all", "mass", "calc"] = "all"
    """`cbis-ddsm` only: the collection's mass images, its calcification images, or both."""
    split: Literal["patient", "official"] = "patient"
    split_seed: Annotated[int, Field(ge=0)] = 0
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.15
    test: Annotated[float, Field(gt=0, lt=1)] = 0.25
    folds: Annotated[int, Field(ge=0)] = 0
    """Number of cross-validation folds; 0: one train/validation/test split."""
    other_lesions: Literal["ignore", "healthy", "mass"] = "ignore"
    """What a distortion or asymmetry becomes in the mask."""
    columns: dict[str, str] = {}
    """`folder` only: our column → column, `template with {column}` or `=constant`."""
    patients: Positive = 200
    """`phantom` only."""
    difficulty: Literal["real", "easy"] = "real"
    """`phantom` only."""
    phantom_seed: Annotated[int, Field(ge=0)] = 0
    """`phantom` only."""
