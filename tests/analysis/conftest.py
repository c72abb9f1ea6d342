"""Tables of predictions made from whole label maps, so that every count is possible."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest

from mtlbench.analysis.intervals import Estimate

PIXELS = 400
MakeFrame = Callable[..., pd.DataFrame]


def predictions(
    n: int = 60,
    *,
    images_per_patient: int = 1,
    quality: float = 1.5,
    truth_seed: int = 0,
    seed: int = 1,
    classes: Sequence[int] = (1, 2, 3, 4),
) -> pd.DataFrame:
    """One arm with one seed; `truth_seed` fixes cases and truth, `seed` the predictions."""
    truth, noise = np.random.default_rng(truth_seed), np.random.default_rng(seed)
    patient = np.arange(n) // images_per_patient
    label = (truth.random(patient[-1] + 1) < 0.4).astype(int)[patient]
    shared = truth.standard_normal(patient[-1] + 1)[patient]
    true_NP = np.zeros((n, PIXELS), int)
    for row in true_NP:
        if truth.random() < 0.8:
            row[: truth.integers(20, 150)] = truth.choice(classes)
    wrong = noise.choice([0, *classes], size=true_NP.shape)
    pred_NP = np.where(noise.random(true_NP.shape) < noise.beta(2, 4, (n, 1)), wrong, true_NP)
    frame = pd.DataFrame(
        {
            "image_id": [f"i{k:04d}" for k in range(n)],
            "patient_id": [f"p{k:04d}" for k in patient],
            "split": "test",
            "label": label,
            "score": 1 / (1 + np.exp(-(quality * label + shared + noise.standard_normal(n)))),
        }
    )
    for k in range(5):
        frame[f"true_{k}"] = (true_NP == k).sum(axis=1)
        frame[f"pred_{k}"] = (pred_NP == k).sum(axis=1)
        frame[f"both_{k}"] = ((true_NP == k) & (pred_NP == k)).sum(axis=1)
    return frame


@pytest.fixture(scope="session")
def make() -> MakeFrame:
    return predictions


def with_seeds(make: MakeFrame, seeds: Sequence[int], **options: object) -> pd.DataFrame:
    parts = [make(seed=100 + seed, **options).assign(seed=seed) for seed in seeds]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="session")
def make_seeds(make: MakeFrame) -> MakeFrame:
    def build(seeds: Sequence[int], **options: object) -> pd.DataFrame:
        return with_seeds(make, seeds, **options)

    return build


@pytest.fixture(scope="session")
def make_estimate():
    """An estimate whose studentised resamples are t_B exactly, on the identity scale."""

    def estimate(value, variance, t_B=(), values=None, covariance=None, df=30):
        t_B = np.asarray(t_B, float)
        return Estimate(
            value=value,
            variance=variance,
            value_S=np.asarray([value] if values is None else values, float),
            covariance_SS=np.asarray([[variance]] if covariance is None else covariance, float),
            value_B=value + t_B * 0.1,
            variance_B=np.full(t_B.shape, 0.01),
            df=df,
        )

    return estimate
