"""Arms within groups of cases, and whether a difference of arms depends on the group.

Groups share the draws of patients with each other and with the whole test set. N = cases,
P = patients with a case in either of two groups, B = resamples, R = rows of a metric.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mtlbench.analysis.align import Arm, Cases, align
from mtlbench.analysis.bootstrap import Key, bootstrap
from mtlbench.analysis.frame import Floats, Mask
from mtlbench.analysis.intervals import Estimate
from mtlbench.analysis.metric import Metric, find_metric
from mtlbench.analysis.multiplicity import ADJUSTMENTS
from mtlbench.analysis.resample import Draw, Rows
from mtlbench.analysis.rows import Row, Rules, comparison_rows, estimate_row
from mtlbench.analysis.statistic import Kernel, Statistic
from mtlbench.errors import DataError, StudyError

DERIVED = ("lesion_type", "lesion_size")
"""Of the truth in the predictions; the others are columns of `cases.csv`."""
COLUMNS = [
    *("variable", "group", "arm", "metric", "value", "low", "high", "n_patients", "n_cases"),
    *("n_positive", "baseline", "difference", "difference_low", "difference_high"),
    *("interaction", "interaction_low", "interaction_high", "p", "p_adjusted", "reliable"),
]
_TOLD = COLUMNS[4:10]

Groups = dict[str, Mask]
"""Name of a group → whether each case is in it."""


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
        A table with `COLUMNS`, and what limits it. `interaction` is the difference of arm and
        baseline in the group less the same in all other groups; of two groups it is tested once.

    Raises:
        DataError: a case is not in `cases_table`.
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
    rows: list[Row] = []
    notes: list[str] = []
    for metric in wanted:
        tests: list[Row] = []
        for variable in by:
            found, said = context.variable(metric, variable, _groups(cases, cases_table, variable))
            tests += found
            notes += said
        adjusted = ADJUSTMENTS[adjust]([row.get("p", np.nan) for row in tests])
        rows += [row | {"p_adjusted": p} for row, p in zip(tests, adjusted, strict=True)]
    return pd.DataFrame(rows, columns=COLUMNS), notes


def _groups(cases: Cases, table: pd.DataFrame | None, variable: str) -> Groups:
    if variable == "lesion_type":
        mass_N, calcification_N = (_area(cases, k) > 0 for k in ((1, 2), (3, 4)))
        none_N = ~mass_N & ~calcification_N
        return {"mass": mass_N | none_N, "calcification": calcification_N | none_N}
    if variable == "lesion_size":
        area_N = _area(cases, (1, 2, 3, 4))
        edges = np.quantile(area_N[area_N > 0], [1 / 3, 2 / 3]) if area_N.any() else (0, 0)
        third_N = np.searchsorted(edges, area_N, side="left")
        names = ("smallest third", "middle third", "largest third")
        return {name: (third_N == k) | (area_N == 0) for k, name in enumerate(names)}
    if table is None or variable not in table or "image_id" not in table:
        known = [] if table is None else [name for name in table.columns if name != "image_id"]
        raise StudyError(
            f"subgroups: must be {', '.join(DERIVED)} or a column of the cases "
            f"({', '.join(known)}), but got {variable!r}"
        )
    value_N = table.drop_duplicates("image_id").set_index("image_id")[variable]
    if absent := sorted({*cases.image_N} - {*value_N.index.astype(str)})[:10]:
        raise DataError(f"cases: every test image must be there, but not {', '.join(absent)}")
    value_N = value_N.set_axis(value_N.index.astype(str)).reindex(cases.image_N).fillna("")
    text_N = value_N.astype(str).to_numpy(str)
    return {name: text_N == name for name in sorted({*text_N} - {"", "nan"})}


def _area(cases: Cases, classes: Sequence[int]) -> Floats:
    """Pixels of some classes in the truth; 0 where there is no mask."""
    if cases.true_NK is None:
        raise StudyError("subgroups: lesion_type and lesion_size need masks")
    return np.asarray(np.nan_to_num(cases.true_NK[:, list(classes)]).sum(axis=1))


def restrict(cases: Cases, arms: Sequence[Arm], kept_N: Mask) -> tuple[Cases, list[Arm]]:
    """Some of the cases; the patients that are drawn stay the same."""
    label_N, true_NK = cases.label_N, cases.true_NK
    fewer = replace(
        cases,
        image_N=cases.image_N[kept_N],
        patient_N=cases.patient_N[kept_N],
        fold_N=cases.fold_N[kept_N],
        label_N=None if label_N is None else label_N[kept_N],
        true_NK=None if true_NK is None else true_NK[kept_N],
    )

    def kept(stack_SN: Floats | None) -> Floats | None:
        return None if stack_SN is None else stack_SN[:, kept_N]

    return fewer, [
        replace(
            arm,
            score_SN=kept(arm.score_SN),
            pred_SNK=kept(arm.pred_SNK),
            both_SNK=kept(arm.both_SNK),
        )
        for arm in arms
    ]


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
        self, metric: Metric, variable: str, groups: Groups
    ) -> tuple[list[Row], list[str]]:
        """Rows of one variable under one metric."""
        rows: list[Row] = []
        notes: list[str] = []
        for number, (name, inside_N) in enumerate(groups.items()):
            told, said = self.group(metric, inside_N)
            others = [mask_N for other, mask_N in groups.items() if other != name]
            tested = others and (number == 0 or len(groups) > 2)
            against = self.interaction(metric, inside_N, np.any(others, axis=0)) if tested else {}
            notes += [f"{variable} = {name}: {line}" for line in said]
            for arm, row in told.items():
                mark = {"variable": variable, "group": name, "arm": arm, "metric": metric.name}
                both = [row.pop("reliable"), against.get(arm, {}).pop("reliable", True)]
                rows.append(mark | row | against.get(arm, {}) | {"reliable": all(both)})
        return rows, notes

    def group(self, metric: Metric, inside_N: Mask) -> tuple[dict[str, Row], list[str]]:
        """Each arm in the group: its estimate, and its difference from the baseline."""
        cases, arms = restrict(self.cases, self.arms, inside_N)
        statistic = metric.build(cases, arms)
        found = self.bootstrap(metric, statistic)
        rows: dict[str, Row] = {}
        notes: list[str] = []
        for arm in arms:
            row, said = estimate_row(metric, statistic, arm, found, self.rules, self.resamples)
            rows[arm.name] = {key: row.get(key) for key in [*_TOLD, "reliable"]}
            notes += said
        for row in comparison_rows(metric, statistic, arms, self.bases, found, self.rules)[0]:
            limits = {f"difference_{end}": row.get(end) for end in ("low", "high")}
            rows[row["arm"]] |= {key: row.get(key) for key in ("baseline", "difference")} | limits
        return rows, notes

    def interaction(self, metric: Metric, inside_N: Mask, outside_N: Mask) -> dict[str, Row]:
        """Each arm's difference from the baseline in one group, less that in the others."""
        parts = [
            metric.build(*restrict(self.cases, self.arms, kept_N))
            for kept_N in (inside_N, outside_N)
        ]
        contrast = _contrast(*parts)
        if contrast is None:
            return {}
        found = self.bootstrap(metric, contrast)
        rows, _ = comparison_rows(metric, contrast, self.arms, self.bases, found, self.rules)
        names = {"difference": "interaction", "low": "interaction_low", "high": "interaction_high"}
        kept = (*names, "p", "reliable")
        return {
            row["arm"]: {names.get(key, key): row[key] for key in kept if key in row}
            for row in rows
        }

    def bootstrap(self, metric: Metric, statistic: Statistic) -> dict[Key, Estimate]:
        n_patients = len(self.cases.patients)
        methods = {metric.name: metric.method}
        return bootstrap(
            [statistic], self.bases, self.arms, n_patients, self.resamples, self.seed, methods
        )


def _contrast(one: Statistic, other: Statistic) -> Statistic | None:
    """One group's metric less the other's; the patients of both are its rows, in one stratum."""
    if one.rows is None or other.rows is None:
        return None
    rows = Rows([(np.union1d(one.rows.patient_R, other.rows.patient_R),)])
    kernels: dict[str, list[Kernel]] = {
        arm: [
            _ContrastKernel(rows, (one.rows, a), (other.rows, b))
            for a, b in zip(one.kernels[arm], other.kernels[arm], strict=True)
        ]
        for arm in one.kernels.keys() & other.kernels.keys()
    }
    scarce = min(one.scarce, other.scarce, key=lambda group: group[1])
    return replace(one, rows=rows, kernels=kernels, scarce=scarce, notes=())


class _ContrastKernel:
    """Difference of a kernel on two sets of cases, with the influences of a patient added up."""

    def __init__(self, rows: Rows, one: tuple[Rows, Kernel], other: tuple[Rows, Kernel]) -> None:
        self._n_rows = len(rows.patient_R)
        self._sides = [
            (side, kernel, sign, np.searchsorted(rows.patient_R, side.patient_R))
            for (side, kernel), sign in ((one, 1), (other, -1))
        ]

    def __call__(self, draw: Draw) -> tuple[Floats, Floats]:
        """Value (B) and influence (P × B)."""
        n_draws = draw.counts_PB.shape[1]
        value_B, influence_PB = np.zeros(n_draws), np.zeros((self._n_rows, n_draws))
        for rows, kernel, sign, place_R in self._sides:
            side_B, side_RB = kernel(rows.draw(draw.counts_PB))
            value_B += sign * side_B
            np.add.at(influence_PB, place_R, sign * side_RB)
        return value_B, influence_PB

    def value(self, draw: Draw) -> Floats:
        """The value alone."""
        (one, first, _, _), (other, second, _, _) = self._sides
        return first.value(one.draw(draw.counts_PB)) - second.value(other.draw(draw.counts_PB))
