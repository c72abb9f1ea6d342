"""Whether the intervals cover: small enough to run always, large enough to fail.

With 150 data sets the standard error of a coverage of 95 % is 1.8 points.
"""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, ndtri

from mtlbench.analysis import compare

DATA_SETS = 150
AUC = 0.8


def clustered_scores(rng: np.random.Generator) -> pd.DataFrame:
    """60 patients with 3 images, one label a patient, scores correlated by .5 within a patient."""
    patient = np.repeat(np.arange(60), 3)
    label = (rng.random(60) < 0.3).astype(int)[patient]
    noise = (rng.standard_normal(60)[patient] + rng.standard_normal(180)) * np.sqrt(0.5)
    score = np.sqrt(2) * ndtri(AUC) * label + noise
    return pd.DataFrame(
        {"image_id": np.arange(180), "patient_id": patient, "label": label, "score": expit(score)}
    )


def masks(rng: np.random.Generator, n: int = 100) -> pd.DataFrame:
    """n patients; lesions of log-normal area, found to a beta-distributed share or missed."""
    area = np.round(np.exp(rng.normal(5, 1, n))).astype(int)
    found = np.round(area * rng.beta(4, 2, n) * (rng.random(n) < 0.75)).astype(int)
    wrong = np.round(np.exp(rng.normal(4, 1, n))).astype(int)
    total = 100_000
    ids = {"image_id": np.arange(n), "patient_id": np.arange(n)}
    frame = pd.DataFrame({**ids, "label": np.nan, "score": np.nan})
    for kind, lesion in (("true", area), ("pred", found + wrong), ("both", found)):
        frame[f"{kind}_1"] = lesion
        frame[f"{kind}_0"] = total - (lesion if kind != "both" else area + wrong)
        for k in (2, 3, 4):
            frame[f"{kind}_{k}"] = 0
    return frame


def covered(frame: pd.DataFrame, metric: str, truth: float) -> bool:
    estimate = compare({"a": frame}, metrics=[metric], resamples=200).estimates.iloc[0]
    return bool(estimate["low"] <= truth <= estimate["high"])


def test_auc_of_clustered_cases():
    rng = np.random.default_rng(0)
    frames = [clustered_scores(rng) for _ in range(DATA_SETS)]
    by_patient = np.mean([covered(frame, "auc", AUC) for frame in frames])
    by_image = np.mean(
        [covered(frame.assign(patient_id=frame["image_id"]), "auc", AUC) for frame in frames[:75]]
    )
    assert 0.91 <= by_patient <= 0.99
    assert by_image < 0.9


def test_pooled_dice_of_uneven_lesions():
    rng = np.random.default_rng(1)
    whole = masks(rng, 200_000)
    truth = 2 * whole["both_1"].sum() / (whole["true_1"].sum() + whole["pred_1"].sum())
    hits = [covered(masks(rng), "dice_any", truth) for _ in range(DATA_SETS)]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.05)


def test_size_of_the_paired_test():
    """Two arms of equal skill that share the truth differ at 5 % in about 5 of 100 data sets."""
    rng = np.random.default_rng(2)
    rejected = []
    for _ in range(DATA_SETS):
        one = clustered_scores(rng)
        other = one.assign(
            score=expit(
                np.sqrt(2) * ndtri(AUC) * one["label"]
                + (rng.standard_normal(60)[one["patient_id"]] + rng.standard_normal(180))
                * np.sqrt(0.5)
            )
        )
        found = compare({"a": one, "b": other}, baseline="a", resamples=200)
        rejected.append(found.comparisons["p"].item() < 0.05)
    assert 0.005 <= np.mean(rejected) <= 0.095
