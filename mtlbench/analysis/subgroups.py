"""Arms within groups of cases, and whether a difference of arms depends on the group.

Groups share the draws of patients with each other and with the whole test set.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mtlbench.analysis.align import Arm, Cases, align
from mtlbench.analysis.bootstrap import Key, bootstrap
from mtlbench.analysis.contrast import contrast
from mtlbench.analysis.dice import class_names, classes_of
from mtlbench.analysis.groups import DERIVED, Group, find_groups, merged, restrict
from mtlbench.analysis.intervals import Estimate
from mtlbench.analysis.masks import dice_statistic
from mtlbench.analysis.metric import Metric, find_metric
from mtlbench.analysis.multiplicity import ADJUSTMENTS
from mtlbench.analysis.rows import Row, Rules, comparison_rows, estimate_row, notes
from mtlbench.analysis.statistic import Statistic
from mtlbench.config import CLASSES
from mtlbench.errors import StudyError

CLASS_MEANS = ("dice", "dice_lesions", "dice_image")
"""Metrics that average over the classes in the truth, which are others in other groups."""
COLUMNS = [
    *("variable", "group", "arm", "metric", "value", "low", "high", "n_patients", "n_cases"),
    *("n_positive", "baseline", "difference", "difference_low", "difference_high"),
    *("interaction", "interaction_low", "interaction_high", "p", "p_adjusted", "reliable"),
]
_TOLD = COLUMNS[4:10]


def subgroups(
    frames: Mapping[str, pd.DataFrame],
    cases_table: pd.DataFrame | None,
    by: Sequence[str],
    *,
    baseline: str | Mapping[str, str],
    metrics: Sequence[str] = ("auc",),
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    adjust: str = "holm",
) -> tuple[pd.DataFrame, list[str]]:
    """Estimate each arm in each group, and test whether its difference depends on the group.

    Args:
        frames: as for `compare`.
        cases_table: `image_id` and the columns named in `by`; empty fields are in no group. None:
            the variables from the predictions alone.
        by: columns, or `lesion_type` (mass, calcification) and `lesion_size` (thirds of the
            cases' lesion area); these two put cases without a lesion into every group.
        baseline: as for `compare`.
        metrics: of scores or masks.
        level: of the intervals.
        resamples: of patients, shared by all groups.
        seed: of the draws.
        adjust: over all interaction tests within one metric.

    Returns:
        A table with `COLUMNS`, and what limits it, by group. `interaction` is the difference of arm
        and baseline in the group less the same in all other groups that have a value; of two
        groups it is tested once. A mean over classes is tested over those in the truth of both
        sides, and not at all where they share no lesion class. `reliable` is false where any
        interval of the row may be wrong.

    Raises:
        DataError: a case is not in `cases_table`, or has two values there.
        StudyError: an argument is not as it must be.

    """
    wanted = [find_metric(name) for name in dict.fromkeys(metrics)]
    if lost := [metric.name for metric in wanted if metric.needs == "findings"]:
        raise StudyError(f"subgroups: {lost[0]} cannot be computed within groups")
    needs = {metric.needs for metric in wanted}
    cases, arms = align(
        frames, scores="scores" in needs, masks="masks" in needs or bool({*by} & {*DERIVED})
    )
    bases = baseline if isinstance(baseline, Mapping) else {m.name: baseline for m in wanted}
    context = _Context(cases, arms, bases, Rules(level, None, adjust, {}), resamples, seed)
    groups = {variable: find_groups(cases, cases_table, variable) for variable in by}
    rows: list[Row] = []
    limits: list[str] = []
    for metric in wanted:
        tests: list[Row] = []
        for variable, parts in groups.items():
            found, said = context.variable(metric, variable, parts)
            tests += found
            limits += said
        adjusted = ADJUSTMENTS[adjust]([row.get("p", np.nan) for row in tests])
        rows += [row | {"p_adjusted": p} for row, p in zip(tests, adjusted, strict=True)]
    return pd.DataFrame(rows, columns=COLUMNS), limits


@dataclass(frozen=True)
class _Context:
    """What all groups share."""

    cases: Cases
    arms: Sequence[Arm]
    bases: Mapping[str, str]
    rules: Rules
    resamples: int
    seed: int

    def variable(
        self, metric: Metric, variable: str, groups: Sequence[Group]
    ) -> tuple[list[Row], list[str]]:
        """Rows of one variable under one metric."""
        statistics = {group: self.build(metric, group, group.classes) for group in groups}
        measured = [group for group in groups if statistics[group].rows is not None]
        tested = measured if len(measured) > 2 else measured[:-1]  # of two one test says all
        rows: list[Row] = []
        limits: list[str] = []
        for group, statistic in statistics.items():
            told, said = self.group(metric, statistic)
            others = [other for other in measured if other is not group]
            tests, why = (
                self.interaction(metric, group, merged(others)) if group in tested else ({}, [])
            )
            place = f"{variable} = {group.name}"
            limits += [f"{place}: {line}" for line in said]
            limits += [f"{place} against the others: {line}" for line in why if line not in said]
            mark = {"variable": variable, "group": group.name, "metric": metric.name}
            for arm, row in told.items():
                test = tests.get(arm, {"reliable": True})
                both = {"reliable": row["reliable"] and test["reliable"]}
                rows.append(mark | {"arm": arm} | row | test | both)
        return rows, limits

    def build(self, metric: Metric, group: Group, classes: Collection[int]) -> Statistic:
        """The metric of a group's cases; a mean over classes takes no others."""
        cases, arms = restrict(self.cases, self.arms, group.inside_N)
        if metric.name in CLASS_MEANS:
            return dice_statistic(metric.name, cases, arms, classes)
        return metric.build(cases, arms)

    def group(self, metric: Metric, statistic: Statistic) -> tuple[dict[str, Row], list[str]]:
        """Each arm in the group: its estimate, and its difference from the baseline."""
        found = self.bootstrap(metric, statistic)
        rows: dict[str, Row] = {}
        said: list[str] = []
        for arm in self.arms:
            row, limits = estimate_row(metric, statistic, arm, found, self.rules, self.resamples)
            rows[arm.name] = {key: row.get(key) for key in [*_TOLD, "reliable"]}
            said += limits
        paired, limits = comparison_rows(
            metric, statistic, self.arms, self.bases, found, self.rules
        )
        for row in paired:
            own = rows[row["arm"]]
            own |= {key: row.get(key) for key in ("baseline", "difference")}
            own |= {f"difference_{end}": row.get(end) for end in ("low", "high")}
            own["reliable"] = own["reliable"] and row["reliable"]
        if statistic.rows is None:
            why = sorted({*statistic.reasons.values()})
            return rows, [f"{metric.name}: no value: {reason}" for reason in why]
        return rows, self.limits(metric, statistic, [*said, *limits])

    def interaction(
        self, metric: Metric, group: Group, others: Group
    ) -> tuple[dict[str, Row], list[str]]:
        """Each arm's difference from the baseline in one group, less that in the others."""
        one, other = (self.build(metric, side, side.classes) for side in (group, others))
        if metric.name in CLASS_MEANS:
            shared = {CLASSES.index(name) for name in {*one.classes} & {*other.classes}}
            if not shared - {0}:
                why = "they share no lesion class to average (dice_any has but one)"
                return {}, [f"{metric.name}: no interaction: {why}"]
            one, other = (self.build(metric, side, shared) for side in (group, others))
        statistic = contrast(one, other)
        found = self.bootstrap(metric, statistic)
        rows, limits = comparison_rows(metric, statistic, self.arms, self.bases, found, self.rules)
        names = {"difference": "interaction", "low": "interaction_low", "high": "interaction_high"}
        kept = (*names, "p", "reliable")
        tests = {
            row["arm"]: {names.get(key, key): row[key] for key in kept if key in row}
            for row in rows
        }
        return tests, self.limits(metric, statistic, limits)

    def limits(self, metric: Metric, statistic: Statistic, by_arm: Sequence[str]) -> list[str]:
        """Say why numbers are limited: few patients limit all arms, else each has its reasons."""
        common = notes(replace(statistic, notes=()))
        return [*self.averaged(metric, statistic), *(common or by_arm)]

    def averaged(self, metric: Metric, statistic: Statistic) -> list[str]:
        """Say which classes a mean is over where they are fewer than the whole test set's."""
        if metric.name not in CLASS_MEANS or self.cases.true_NK is None:
            return []
        numbers = classes_of(metric.name, self.cases.true_NK, self.cases.fold_N)
        lost = [name for name in class_names(metric.name, numbers) if name not in statistic.classes]
        if not lost or not statistic.classes:
            return []
        return [
            f"{metric.name}: mean over {', '.join(statistic.classes)}, without {', '.join(lost)}"
        ]

    def bootstrap(self, metric: Metric, statistic: Statistic) -> dict[Key, Estimate]:
        n_patients = len(self.cases.patients)
        methods = {metric.name: metric.method}
        return bootstrap(
            [statistic], self.bases, self.arms, n_patients, self.resamples, self.seed, methods
        )
