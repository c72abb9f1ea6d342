"""Test sets of which the true value of every metric is known: what coverage is measured on.

N = cases, P = patients, K = classes, A = arms. Arms are exchangeable: equal skill, the same truth,
errors that are shared by half. So every true difference is 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache

import numpy as np
import pandas as pd
from scipy import special

from mtlbench.analysis import Findings, find_metric
from mtlbench.analysis.align import Arm, Cases
from mtlbench.analysis.frame import Floats, Indices
from mtlbench.config import CLASSES

Rng = np.random.Generator
SHARED = 0.5
"""Part of the variance of an arm's errors that it shares with the other arms."""
IMAGE_PIXELS = 100_000
POPULATION, POPULATIONS = 400_000, 5
"""Cases from which a true value is computed, and how many such values are averaged."""


@dataclass(frozen=True)
class Setting:
    """A kind of test set."""

    n_cases: int
    prevalence: float = 0.3
    """Of positive patients, or of each lesion class in an image."""
    clustered: bool = False
    """2 to 4 images a patient with a correlation of .5, else one."""
    auc: float = 0.8
    overconfident: float = 1.5
    """Factor on the log odds: what the calibration error is to find."""
    uneven: float = 1.0
    """Standard deviation of the logarithm of a lesion's area."""
    giants: float = 0.0
    """Part of the lesions that take a fifth of the image."""
    seeds: int = 1
    """Trainings of each arm, of equal skill."""

    def __str__(self) -> str:
        """For a row of the table."""
        parts = [f"n = {self.n_cases}", f"{self.prevalence:.0%} positive"]
        parts += ["2-4 images a patient, rho = .5"] if self.clustered else []
        parts += [
            f"{field.name} = {value:g}"
            for field in fields(self)
            if field.name in ("auc", "overconfident", "uneven", "giants", "seeds")
            and (value := getattr(self, field.name)) != field.default
        ]
        return ", ".join(parts)


def patients(rng: Rng, setting: Setting) -> Indices:
    """The patient of each case."""
    n = setting.n_cases
    sizes = rng.integers(2, 5, size=n) if setting.clustered else np.ones(n, int)
    return np.repeat(np.arange(n), sizes)[:n]


def _noise(rng: Rng, patient_N: Indices, setting: Setting) -> Floats:
    """Standard normal, correlated by .5 within a patient where the setting says so."""
    rho = 0.5 if setting.clustered else 0.0
    shared_P = rng.standard_normal(patient_N[-1] + 1)
    own_N = rng.standard_normal(len(patient_N))
    return np.asarray(np.sqrt(rho) * shared_P[patient_N] + np.sqrt(1 - rho) * own_N)


def _arms_noise(rng: Rng, patient_N: Indices, setting: Setting, n_arms: int) -> list[Floats]:
    common_N = np.sqrt(SHARED) * _noise(rng, patient_N, setting)
    parts = [np.sqrt(1 - SHARED) * _noise(rng, patient_N, setting) for _ in range(n_arms)]
    return [common_N + part_N for part_N in parts]


def scores(rng: Rng, setting: Setting, n_arms: int = 1) -> tuple[Cases, list[Arm]]:
    """Binormal scores, a label a patient, log odds that are too sure of themselves."""
    patient_N = patients(rng, setting)
    label_N = (rng.random(patient_N[-1] + 1) < setting.prevalence).astype(float)[patient_N]
    shift = np.sqrt(2) * special.ndtri(setting.auc)
    arms = []
    for k, noise_N in enumerate(_arms_noise(rng, patient_N, setting, n_arms)):
        odds_N = shift * (shift * label_N + noise_N) - shift**2 / 2
        score_N = special.expit(
            setting.overconfident * (odds_N + special.logit(setting.prevalence))
        )
        arms.append(Arm(f"arm{k}", (0,), score_N[None], None, None))
    return _cases(patient_N, label_N, None), arms


def masks(rng: Rng, setting: Setting, n_arms: int = 1) -> tuple[Cases, list[Arm]]:
    """Each lesion class in a part of the images, log-normal areas, a quarter of them missed."""
    patient_N = patients(rng, setting)
    n, n_lesions = len(patient_N), len(CLASSES) - 1
    there_NL = rng.random((n, n_lesions)) < setting.prevalence
    area_NL = np.round(np.exp(rng.normal(5, setting.uneven, (n, n_lesions))))
    giant_NL = rng.spawn(1)[0].random((n, n_lesions)) < setting.giants
    area_NL = np.where(giant_NL, IMAGE_PIXELS // 5, area_NL) * there_NL
    true_NK = np.column_stack([IMAGE_PIXELS - area_NL.sum(axis=1), area_NL])
    arms = []
    for k, noise_N in enumerate(_arms_noise(rng, patient_N, setting, n_arms)):
        skill_N = special.ndtr(noise_N)  # of this arm in this image, uniform
        found_N = np.where(skill_N < 0.25, 0, special.betaincinv(4, 2, skill_N))
        both_NL = np.round(area_NL * found_N[:, None])
        wrong_NL = np.round(np.exp(rng.normal(4, 1, (n, n_lesions)))) * (
            rng.random((n, n_lesions)) < setting.prevalence
        )
        pred_NL = both_NL + wrong_NL
        pred_NK = np.column_stack([IMAGE_PIXELS - pred_NL.sum(axis=1), pred_NL])
        both_NK = np.column_stack([true_NK[:, 0] - wrong_NL.sum(axis=1), both_NL])
        arms.append(Arm(f"arm{k}", (0,), None, pred_NK[None], both_NK[None]))
    return _cases(patient_N, None, true_NK), arms


def findings(rng: Rng, setting: Setting, n_arms: int = 1) -> tuple[Cases, list[Arm]]:
    """A lesion in a part of the images; false positives, more of them in some patients."""
    patient_N = patients(rng, setting)
    lesion_N = np.flatnonzero(rng.random(len(patient_N)) < setting.prevalence)
    true_NK = np.zeros((len(patient_N), len(CLASSES)))
    image_N = _names(patient_N)
    arms = []
    for k, noise_N in enumerate(_arms_noise(rng, patient_N, setting, n_arms)):
        strength_N = special.ndtr(1 + noise_N[lesion_N])
        hit_N = strength_N > 0.3
        count_N = rng.poisson(special.gammaincinv(1, special.ndtr(-noise_N)) * 1.5)
        wrong = np.repeat(image_N, count_N)
        lesions = pd.DataFrame(
            {
                "image_id": image_N[lesion_N],
                "lesion": 1,
                "hit": hit_N.astype(float),
                "score": np.where(hit_N, strength_N, np.nan),
                "seed": 0,
            }
        )
        candidates = pd.DataFrame(
            {"image_id": wrong, "score": rng.beta(2, 2, len(wrong)), "hit": 0.0, "seed": 0}
        )
        arms.append(Arm(f"arm{k}", (0,), None, None, None, Findings(lesions, candidates)))
    return _cases(patient_N, None, true_NK), arms


def _cases(patient_N: Indices, label_N: Floats | None, true_NK: Floats | None) -> Cases:
    patients = np.array([f"p{k:07d}" for k in range(patient_N[-1] + 1)])
    fold_N = np.zeros(len(patient_N), np.intp)
    return Cases(_names(patient_N), patient_N, patients, fold_N, label_N, true_NK)


def _names(patient_N: Indices) -> "np.ndarray[tuple[int], np.dtype[np.str_]]":
    return np.array([f"i{k:07d}" for k in range(len(patient_N))])


World = Callable[[Rng, Setting, int], tuple[Cases, list[Arm]]]
WORLDS: dict[str, World] = {"scores": scores, "masks": masks, "findings": findings}
"""What a metric needs → what makes it, with one training an arm."""


def make_test_set(metric: str, rng: Rng, setting: Setting, n_arms: int) -> tuple[Cases, list[Arm]]:
    """What a metric needs, with the setting's trainings of each arm."""
    world, seeds = WORLDS[find_metric(metric).needs], range(setting.seeds)
    cases, trainings = world(rng, setting, n_arms * setting.seeds)
    return cases, [
        _arm(f"arm{k}", trainings[k * len(seeds) : (k + 1) * len(seeds)]) for k in range(n_arms)
    ]


def _arm(name: str, trainings: Sequence[Arm]) -> Arm:
    """Several arms of one training as one of several."""

    def stacked(field: str) -> Floats | None:
        arrays = [getattr(one, field) for one in trainings]
        return None if arrays[0] is None else np.concatenate(arrays)

    found = [one.findings for one in trainings if one.findings is not None]
    return Arm(
        name,
        tuple(range(len(trainings))),
        stacked("score_SN"),
        stacked("pred_SNK"),
        stacked("both_SNK"),
        _joined(found) if found else None,
    )


def _joined(found: Sequence[Findings]) -> Findings:
    lesions, candidates = (
        pd.concat([getattr(one, table).assign(seed=seed) for seed, one in enumerate(found)])
        for table in ("lesions", "candidates")
    )
    return Findings(lesions, candidates)


@cache
def truth(metric: str, setting: Setting) -> float:
    """The metric's value in a population of patients like those of the setting."""
    found = find_metric(metric)
    many = replace(setting, n_cases=POPULATION, seeds=1)
    values = []
    for seed in range(POPULATIONS):
        cases, arms = make_test_set(metric, np.random.default_rng(seed), many, 1)
        statistic = found.build(cases, arms)
        assert statistic.rows is not None
        draw = statistic.rows.draw(np.ones((len(cases.patients), 1), np.int64))
        values.append(float(statistic.kernels["arm0"][0].value(draw)[0]))
    return float(np.mean(values))
