"""What a study file may say: pydantic models, one strict base class.

A study file is TOML. `StudyConfig` is the whole file; `RunConfig` is what one arm at one point
of its swept values asks of a training. Names (adapters, backbones, strategies) are checked where
their dicts live, in `study`; here only shapes, types and ranges.
"""

import itertools
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from mtlbench.errors import StudyError

SCHEMA = 1
"""Version of everything that a run's hash covers; raised when a change alters results."""

CLASSES = (
    "healthy",
    "benign mass",
    "malignant mass",
    "benign calcification",
    "malignant calcification",
)
IGNORED = 255
"""Mask value of a pixel that counts for nothing: a lesion whose class is none of the four."""

BIRADS_SETS = ("inbreast", "vindr")
"""Data sets without biopsy: their labels come from BI-RADS categories."""

T = TypeVar("T")
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
FromList = Annotated[T, Field(strict=False)]
"""A tuple that TOML writes as an array."""
ManualWeights = tuple[float, float, float, float, float]
Intensity = Literal["raw", "window", "optical-density"]
ValidationMetric = Literal["val.auc", "val.dice", "val.dice_lesions", "val.dice_any"]


class Strict(BaseModel):
    """Frozen, no unknown keys, no silent conversion of strings to numbers."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, strict=True, allow_inf_nan=False
    )


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


class BudgetConfig(Strict):
    """`[budget]`: how long each arm trains, in epochs or in optimisation steps."""

    rule: Literal["per-stage", "total"] = "total"
    epochs: Positive | None = None
    steps: Positive | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("exactly one of epochs and steps must be given")
        return self


class ResourcesConfig(Strict):
    """`[resources]`: `threads` is part of a run (it changes the last bits), the rest is not."""

    threads: Positive = 1
    gpus_per_run: Literal[1] = 1
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 5.0
    """How often a run writes a checkpoint, from which it goes on after a kill."""
    checkpoint_steps: Positive | None = None
    """The same in optimisation steps; it goes before the minutes."""


class ModelConfig(Strict):
    """`[base.model]`: backbone and heads."""

    backbone: str = "resnet18"
    output_stride: Literal[8, 16, 32] = 32
    pooling: Literal["mean", "max"] = "mean"
    weights: str = "none"
    """`none`, `imagenet`, or the path of a state-dict file (.safetensors or .pth)."""


class LossConfig(Strict):
    """`[base.loss]`: Eq. 1 of Le et al. 2019, L = λ·L_cls + (1−λ)·L_seg."""

    lambda_: Fraction = Field(0.5, alias="lambda")
    segmentation: str = "cross-entropy"
    class_weights: (
        Literal["none", "inverse", "median-frequency", "effective-number"] | FromList[ManualWeights]
    ) = "median-frequency"

    @model_validator(mode="after")
    def _weights_positive(self) -> Self:
        weights = self.class_weights
        if not isinstance(weights, str) and (min(weights) < 0 or max(weights) <= 0):
            raise ValueError(f"class_weights must be >= 0 and not all 0, but got {list(weights)}")
        return self


class OptimConfig(Strict):
    """`[base.optim]`: AdamW with linear warm-up and cosine decay; `select` is the epoch kept."""

    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    batch_size: Positive = 16
    warmup: Fraction = 0.1
    """Fraction of a stage's steps over which the learning rate rises."""
    select: Literal["last"] | ValidationMetric = "last"


class AugmentConfig(Strict):
    """`[base.augment]`: ranges of the random transform of a training image; 0 turns one off."""

    flip: bool = True
    """Mirror top to bottom with probability one half (the chest wall stays at its side)."""
    rotate_deg: Annotated[float, Field(ge=0, le=180)] = 10.0
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.1
    shift: Annotated[float, Field(ge=0, lt=1)] = 0.05
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.1
    brightness: Annotated[float, Field(ge=0, lt=1)] = 0.1


class RunConfig(Strict):
    """What one cell asks of a training: `[base]` with the arm's `set` and `vary` on top."""

    strategy: str = "joint"
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    augment: AugmentConfig = AugmentConfig()
    budget: BudgetConfig = BudgetConfig(epochs=10)


class Arm(Strict):
    """`[[arms]]`: one compared condition; `set` and `vary` use dotted keys of `RunConfig`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+-]*$")]
    set: dict[str, Any] = {}
    vary: dict[str, Annotated[list[Any], Field(min_length=1)]] = {}

    @model_validator(mode="after")
    def _values_once(self) -> Self:
        for key, values in self.vary.items():
            if key in self.set:
                raise ValueError(f"{key} must stand in set or in vary, but stands in both")
            if any(value in values[:index] for index, value in enumerate(values)):
                raise ValueError(f"vary.{key}: values must be unique, but got {values}")
        return self


class CompareConfig(Strict):
    """`[compare]`: what the report tests and shows."""

    family: Literal["metric"] = "metric"
    """Holm over all rows against the baseline within one metric."""
    choose: ValidationMetric | None = None
    """The cell that stands for an arm with `vary`: best mean of this validation metric."""
    resamples: Annotated[int, Field(ge=100)] = 10_000
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    published: list[str] = []


class StudyConfig(Strict):
    """A study file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    kind: Literal["ablation"] = "ablation"
    dataset: str
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**32)]], Field(min_length=1)]
    baseline: str | dict[str, str]
    data: DataConfig = DataConfig()
    budget: BudgetConfig
    resources: ResourcesConfig = ResourcesConfig()
    base: dict[str, Any] = {}
    arms: Annotated[list[Arm], Field(min_length=1)]
    compare: CompareConfig = CompareConfig()

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        names = [arm.name for arm in self.arms]
        if doubles := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"arms: names must be unique, but {doubles} come twice")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds: must be unique, but got {self.seeds}")
        wanted = [self.baseline] if isinstance(self.baseline, str) else self.baseline.values()
        if missing := sorted(set(wanted) - set(names)):
            raise ValueError(f"baseline: must be one of the arms {names}, but got {missing}")
        return self


def study_schema() -> dict[str, Any]:
    """Give the JSON Schema of a study file, for editors; `[base]` has the keys of `RunConfig`."""
    schema = StudyConfig.model_json_schema()
    base = RunConfig.model_json_schema()
    schema["$defs"] |= base.pop("$defs") | {"RunConfig": base}
    schema["properties"]["base"] = {"$ref": "#/$defs/RunConfig"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


def load_study(path: Path) -> StudyConfig:
    """Read and validate a study file.

    Raises:
        StudyError: with one line per fault, each `file: dotted.key: what must hold`.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: not valid TOML: {error}") from None
    try:
        return StudyConfig.model_validate(raw)
    except ValidationError as error:
        lines = (_with_arm_name(line, raw) for line in faults(error))
        raise StudyError("\n".join(f"{path}: {line}" for line in lines)) from None


def _with_arm_name(line: str, raw: Mapping[str, Any]) -> str:
    """`arms.2.vary` as `arms.joint.vary`, where the file gives that arm a name."""
    place = re.match(r"arms\.(\d+)", line)
    if place is None:
        return line
    arm = raw["arms"][int(place[1])]
    name = arm.get("name") if isinstance(arm, Mapping) else None
    return line if name is None else f"arms.{name}{line[place.end() :]}"


def faults(error: ValidationError) -> list[str]:
    """One line `dotted.key: what must hold, but got value` per key at fault.

    Of a choice between several types, the first one's fault is told.
    """
    lines: dict[str, str] = {}
    for fault in error.errors():
        parts = itertools.takewhile(lambda p: p != "str" and "[" not in str(p), fault["loc"])
        key = ".".join(str(part) for part in parts)
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            message = "unknown key"
        elif fault["type"] not in ("missing", "value_error"):
            message = f"{message}, but got {fault['input']!r}"
        lines.setdefault(key, f"{key}: {message}" if key else message)
    return list(lines.values())
