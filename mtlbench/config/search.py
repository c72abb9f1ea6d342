"""`[search]`, and the space of an arm that is searched."""

import itertools
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    model_validator,
)

from mtlbench.config.base import (
    FromList,
    Positive,
    Seed,
    Strict,
    ValidationMetric,
)


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
            if any(same(a, b) for a, b in itertools.combinations(self.choices, 2)):
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


def same(a: object, b: object) -> bool:
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


def search_faults(
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
