"""The whole study file: its arms, and what is compared."""

import itertools
import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    Field,
    model_validator,
)

from mtlbench.config.assume import AssumeConfig, EffectConfig
from mtlbench.config.base import (
    Seed,
    Strict,
    ValidationMetric,
)
from mtlbench.config.data import DataConfig
from mtlbench.config.run import BudgetConfig, ResourcesConfig, RunConfig
from mtlbench.config.search import Distribution, SearchConfig, same


class Arm(Strict):
    """`[[arms]]`: one compared condition; its tables use dotted keys of `RunConfig`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+-]*$")]
    set: dict[str, Any] = {}
    vary: dict[str, Annotated[list[Any], Field(min_length=1)]] = {}
    """A grid: every combination is a cell."""
    search: dict[str, Distribution] = {}
    """A space: trials are drawn from it, and the best of them become cells."""

    @model_validator(mode="after")
    def _tables_agree(self) -> Self:
        if lines := [*self._doubles(), *self._wrong_conditions()]:
            raise ValueError("\n".join(lines))
        return self

    def _doubles(self) -> Iterator[str]:
        if self.vary and self.search:
            yield "must have vary or search, but has both"
        for table, keys in (("vary", self.vary), ("search", self.search)):
            for key in self.set.keys() & keys:
                yield f"{key} must stand in set or in {table}, but stands in both"
        for key, values in self.vary.items():
            if any(value in values[:index] for index, value in enumerate(values)):
                yield f"vary.{key}: values must be unique, but got {values}"

    def _wrong_conditions(self) -> Iterator[str]:
        for number, (key, distribution) in enumerate(self.search.items()):
            earlier = list(self.search)[:number]
            for other, value in distribution.when.items():
                place = f"search.{key}.when.{other}"
                choices = self.search[other].choices if other in earlier else None
                if choices is None:
                    yield f"{place}: must name an earlier key of search that has choices"
                    continue
                for one in value if isinstance(value, list) else [value]:
                    if not any(same(one, choice) for choice in choices):
                        yield f"{place}: must be of the choices {choices}, but got {one!r}"


FURTHER = ("sens_at_spec90", "spec_at_sens90", "pauc_spec90", "ap", "brier", "ece", "froc")


MIN_RESAMPLES = 100


def fewest_resamples(level: float) -> int:
    """How many resamples can tell the tails of an interval.

    Up to half of them may be undefined, and a p-value is no smaller than 1/(those left + 1).
    """
    return max(MIN_RESAMPLES, math.ceil(2 / (1 - level)))


class CompareConfig(Strict):
    """`[compare]`: what the report tests and shows."""

    family: Literal["metric"] = "metric"
    """What p-values are adjusted over: all rows against the baseline within one metric."""
    adjust: Literal["holm", "bh"] = "holm"
    """Holm bounds the chance of any false claim; bh, for exploration, the share of false ones."""
    margins: dict[str, Annotated[float, Field(gt=0, lt=1)]] = {}
    """Metric → how much worse than the baseline still counts as not inferior."""
    further: list[str] = list(FURTHER)
    """Metrics of the full table besides AUC and the Dice metrics."""
    subgroups: list[str] = []
    """Columns of cases.csv, `lesion_type` or `lesion_size`, within which arms are compared too."""
    choose: ValidationMetric | None = None
    """The cell that stands for an arm with `vary`: best mean of this validation metric."""
    resamples: Annotated[int, Field(ge=MIN_RESAMPLES)] = 10_000
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    dataset: Annotated[str, Field(min_length=1)] | None = None
    """What the data of `dataset = "folder"` are called, in prose and beside published numbers:
    `CBIS-DDSM, mass images only`."""
    published: list[str] = []
    registry: str | None = None
    """A TOML file with published entries of your own, from the study file's folder."""
    assume: AssumeConfig = AssumeConfig()
    effect: EffectConfig = EffectConfig()

    @model_validator(mode="after")
    def _enough_resamples(self) -> Self:
        fewest = fewest_resamples(self.level)
        if self.resamples < fewest:
            raise ValueError(
                f"resamples must be >= {fewest} for intervals of level {self.level}, "
                f"but got {self.resamples}"
            )
        return self


class StudyConfig(Strict):
    """A study file; that its tables agree with each other, `load_study` sees to."""

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
