"""The whole study file: its arms, what is compared, and reading it."""

import itertools
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    Field,
    ValidationError,
    model_validator,
)

from mtlbench.config.base import (
    Seed,
    Strict,
    ValidationMetric,
    faults,
)
from mtlbench.config.data import DataConfig
from mtlbench.config.run import BudgetConfig, ResourcesConfig, RunConfig
from mtlbench.config.search import Distribution, SearchConfig, same, search_faults
from mtlbench.errors import StudyError


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
            if not any(same(one, choice) for choice in choices):
                raise ValueError(f"{place}: must be of the choices {choices}, but got {one!r}")


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
        for fault in search_faults(self.search, self.trial_seeds, self.seeds, self.data.folds):
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
