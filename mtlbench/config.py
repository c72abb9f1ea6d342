"""What a study file may say: pydantic models, one strict base class.

A study file is TOML. `StudyConfig` is the whole file; `RunConfig` is what one arm at one point
of its swept values asks of a training. Names (adapters, backbones, strategies) are checked where
their dicts live, in `study`; here only shapes, types and ranges.
"""

import itertools
import re
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)

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
Seed = Annotated[int, Field(ge=0, lt=2**32)]
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
    """`[resources]`: `threads` and `gpus_per_run` are part of a run (they change the last bits)."""

    threads: Positive = 1
    gpus_per_run: Positive = 1
    """Processes of a run, one per GPU (or CPU); each takes an equal part of every batch."""
    retries: Annotated[int, Field(ge=0)] = 2
    """How often a run that failed is tried again, over all starts of the study."""
    hung_minutes: Annotated[float, Field(gt=0)] = 30.0
    """A run that shows no sign of life for so long is killed and tried again."""
    keep: Literal["all", "best", "none"] = "all"
    """Whose `model.safetensors` stay: all, each cell's best run by validation, none."""
    slurm: dict[str, str | int | float | bool] = {}
    """Parameters of submitit's executor: `slurm_partition`, `timeout_min`, `slurm_gres`, ..."""
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


class Distribution(Strict):
    """What a search may try for a key: a range, or choices (in short, a list of them).

    A range whose ends and step are whole numbers has whole numbers only.
    """

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    """Uniform in the logarithm."""
    step: int | float | None = None
    choices: Annotated[list[Any], Field(min_length=2)] | None = None
    when: dict[str, Any] = {}
    """Earlier key → the choice, or the list of choices, under which this key is searched."""

    @model_validator(mode="before")
    @classmethod
    def _list_of_choices(cls, value: object) -> object:
        return {"choices": value} if isinstance(value, list) else value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """A list stands for its choices."""
        return {"anyOf": [{"type": "array", "minItems": 2}, handler(core_schema)]}

    @model_validator(mode="after")
    def _range_or_choices(self) -> Self:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.step is not None or self.log:
                raise ValueError("must have choices, or low and high, not both")
            if any(_same(a, b) for a, b in itertools.combinations(self.choices, 2)):
                raise ValueError(f"choices must be unique, but got {self.choices}")
        elif self.low is None or self.high is None:
            raise ValueError("must have choices, or low and high")
        else:
            _check_range(self.low, self.high, self.step, self.log)
        return self

    @property
    def ends(self) -> tuple[int | float, int | float]:
        """Of a range: low and high."""
        return self.low or 0, self.high or 0

    @property
    def whole(self) -> bool:
        """Whether a range has whole numbers only."""
        return all(isinstance(end, int) for end in (*self.ends, self.step or 1))


def _same(a: object, b: object) -> bool:
    """Equal in value and type: 1 is neither 1.0 nor true."""
    return a == b and type(a) is type(b)


def _check_range(low: float, high: float, step: float | None, log: bool) -> None:
    if not low < high:
        raise ValueError(f"low must be below high, but got {low} and {high}")
    if log and step is not None:
        raise ValueError("must have log or step, not both")
    if log and low <= 0:
        raise ValueError(f"low must be > 0 under log, but got {low}")
    if step is not None and step <= 0:
        raise ValueError(f"step must be > 0, but got {step}")
    if step is not None and (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step)):
        raise ValueError(f"step must lead from low to high, but got {low}, {high} and {step}")


class Arm(Strict):
    """`[[arms]]`: one compared condition; its tables use dotted keys of `RunConfig`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+-]*$")]
    set: dict[str, Any] = {}
    vary: dict[str, Annotated[list[Any], Field(min_length=1)]] = {}
    """A grid: every combination is a cell."""
    search: dict[str, Distribution] = {}
    """A space: trials are drawn from it, and the best of them become cells."""

    @model_validator(mode="after")
    def _values_once(self) -> Self:
        if self.vary and self.search:
            raise ValueError("must have vary or search, but has both")
        for key, values in self.vary.items():
            if key in self.set:
                raise ValueError(f"{key} must stand in set or in vary, but stands in both")
            if any(value in values[:index] for index, value in enumerate(values)):
                raise ValueError(f"vary.{key}: values must be unique, but got {values}")
        return self

    @model_validator(mode="after")
    def _searched_once(self) -> Self:
        for key, distribution in self.search.items():
            if key in self.set:
                raise ValueError(f"{key} must stand in set or in search, but stands in both")
            for other, value in distribution.when.items():
                self._check_when(f"search.{key}.when.{other}", key, other, value)
        return self

    def _check_when(self, place: str, key: str, other: str, value: object) -> None:
        earlier = list(itertools.takewhile(lambda name: name != key, self.search))
        choices = self.search[other].choices if other in earlier else None
        if choices is None:
            raise ValueError(f"{place}: must name an earlier key of search that has choices")
        for one in value if isinstance(value, list) else [value]:
            if not any(_same(one, choice) for choice in choices):
                raise ValueError(f"{place}: must be of the choices {choices}, but got {one!r}")


def _validation_metrics(value: object) -> object:
    """Refuse other names with the reason, which a choice of literals could not give."""
    known = get_args(ValidationMetric)
    for name in value if isinstance(value, list | tuple) else [value]:
        if name not in known:
            raise ValueError(
                f"must name validation metrics ({', '.join(known)}), since test data never "
                f"choose, but got {name!r}"
            )
    return value


class SearchConfig(Strict):
    """`[search]`: how each arm that has `search` is searched, by Optuna."""

    sampler: Literal["tpe", "gp", "nsga2", "nsga3", "qmc", "random"] = "tpe"
    trials: Positive
    """Configurations tried, of each arm."""
    objective: Annotated[
        ValidationMetric | FromList[tuple[ValidationMetric, ValidationMetric]],
        BeforeValidator(_validation_metrics),
    ] = "val.auc"
    """What is maximised: one validation metric, or two (a Pareto front)."""
    pruner: Literal["none", "median", "hyperband", "wilcoxon", "patient"] = "none"
    """`patient` is the median rule with patience; `wilcoxon` judges over seeds and folds."""
    finalists: Positive = 1
    """Configurations of each arm that are trained again, with `seeds`, and tested."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the sampler."""
    trial_seeds: Annotated[list[Seed], Field(min_length=1)] | None = None
    """Training seeds of a trial, none of them of `seeds`; the default is 1000."""
    parallel: Positive = 4
    """Trials of an arm that may be under way at a time; it shapes what is tried, `--jobs` not."""

    @property
    def objectives(self) -> tuple[ValidationMetric, ...]:
        """One or two."""
        return (self.objective,) if isinstance(self.objective, str) else self.objective


class CompareConfig(Strict):
    """`[compare]`: what the report tests and shows."""

    family: Literal["metric"] = "metric"
    """Holm over all rows against the baseline within one metric."""
    choose: ValidationMetric | None = None
    """The cell that stands for an arm with `vary`: best mean of this validation metric."""
    resamples: Annotated[int, Field(ge=100)] = 10_000
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    published: list[str] = []


def _search_faults(
    search: SearchConfig, trial_seeds: list[int], seeds: list[int], folds: int
) -> Iterator[str]:
    """Yield `key: what must hold` per fault of `[search]` that no key has alone."""
    objectives = search.objectives
    if len(set(objectives)) < len(objectives):
        yield f"objective: must be two metrics, but got {list(objectives)}"
    if len(objectives) > 1 and search.pruner not in ("none", "median"):
        yield f"pruner: must be none or median with two objectives, but got {search.pruner!r}"
    if search.finalists > search.trials:
        yield f"finalists: must be <= trials, but got {search.finalists}"
    if shared := sorted(set(trial_seeds) & set(seeds)):
        yield (
            "trial_seeds: must not be in seeds, since finalists are trained afresh, "
            f"but got {shared}"
        )
    if len(set(trial_seeds)) < len(trial_seeds):
        yield f"trial_seeds: must be unique, but got {trial_seeds}"
    if search.pruner == "wilcoxon" and len(trial_seeds) * max(1, folds) < 2:
        yield (
            "pruner: wilcoxon judges over the runs of a trial, so there must be at least 2 "
            "trial_seeds or folds"
        )


class StudyConfig(Strict):
    """A study file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    kind: Literal["ablation", "search"] = "ablation"
    dataset: str
    seeds: Annotated[list[Seed], Field(min_length=1)]
    baseline: str | dict[str, str]
    data: DataConfig = DataConfig()
    budget: BudgetConfig
    resources: ResourcesConfig = ResourcesConfig()
    base: dict[str, Any] = {}
    arms: Annotated[list[Arm], Field(min_length=1)]
    search: SearchConfig | None = None
    """Of `kind = "search"` only."""
    compare: CompareConfig = CompareConfig()

    @model_validator(mode="before")
    @classmethod
    def _choose_by_the_objective(cls, raw: Any) -> Any:
        """Among finalists, `compare.choose` is the first objective unless the file says."""
        try:
            objective = raw["search"].get("objective", "val.auc")
            first = objective if isinstance(objective, str) else objective[0]
            if first not in get_args(ValidationMetric):
                return raw  # which its own field tells
            return raw | {"compare": {"choose": first} | raw.get("compare", {})}
        except (AttributeError, IndexError, KeyError, TypeError):
            return raw  # no search, or a fault that its own field tells

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

    @model_validator(mode="after")
    def _kind_agrees(self) -> Self:
        searched = [arm.name for arm in self.arms if arm.search]
        if self.kind == "ablation":
            if self.search is not None or searched:
                raise ValueError('kind: must be "search", since the study has `search`')
            return self
        if self.search is None or not searched:
            raise ValueError('kind: "search" must have [search], and an arm with `search`')
        for fault in _search_faults(self.search, self.trial_seeds, self.seeds, self.data.folds):
            raise ValueError(f"search.{fault}")
        return self

    @property
    def trial_seeds(self) -> list[int]:
        """The seeds that a search's trials are trained with; none where nothing is searched."""
        if self.search is None:
            return []
        free = next(seed for seed in itertools.count(1000) if seed not in self.seeds)
        return self.search.trial_seeds or [free]


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
        parts = itertools.takewhile(_is_key, fault["loc"])
        key = ".".join(str(part) for part in parts)
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            message = "unknown key"
        elif fault["type"] not in ("missing", "value_error"):
            message = f"{message}, but got {fault['input']!r}"
        joint = "." if re.match(r"[a-z][\w.-]*: ", message) else ": "  # it goes on with a key
        lines.setdefault(key, f"{key}{joint}{message}" if key else message)
    return list(lines.values())


def _is_key(part: str | int) -> bool:
    """Whether a part of a fault's place is in the file; pydantic adds the types it has tried."""
    return part not in ("str", "int", "float", "bool") and "[" not in str(part)
