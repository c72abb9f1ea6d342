import numpy as np
import pandas as pd
import pytest
from scipy import special, stats
from sklearn.metrics import roc_auc_score

from mtlbench.analysis.regions import dominates, joint, outline, undominated
from mtlbench.errors import StudyError


def influences(frame):
    """AUC (DeLong's placements) and lesion-against-healthy Dice: values, influence of each case."""
    label, score = frame["label"].to_numpy(), frame["score"].to_numpy()
    above = score[label == 1][:, None] > score[label == 0]
    auc = np.zeros(len(frame))
    auc[label == 1] = (above.mean(axis=1) - above.mean()) / (label == 1).sum()
    auc[label == 0] = (above.mean(axis=0) - above.mean()) / (label == 0).sum()
    true = frame[[f"true_{k}" for k in range(1, 5)]].sum(axis=1).to_numpy()
    pred = frame[[f"pred_{k}" for k in range(1, 5)]].sum(axis=1).to_numpy()
    both = true - frame["pred_0"].to_numpy() + frame["both_0"].to_numpy()
    dice = 2 * both.sum() / (true + pred).sum()
    return auc, (2 * both - dice * (true + pred)) / (true + pred).sum(), dice


def test_correlation_and_errors_are_those_of_the_patients_influences(make):
    frame = make(300)
    ease = influences(frame)[1]  # what is segmented well is classified well
    shift = 3 * (ease / ease.std()) * (2 * frame["label"] - 1)
    frame["score"] = special.expit(special.logit(frame["score"]) + shift)
    row = joint({"a": frame}, metric="dice_any", resamples=4000).points.iloc[0]
    auc, dice, value = influences(frame)
    assert row["auc"] == pytest.approx(roc_auc_score(frame["label"], frame["score"]))
    assert row["dice_any"] == pytest.approx(value)
    expected = (auc @ dice) / np.sqrt((auc @ auc) * (dice @ dice))
    assert abs(expected) > 0.1
    assert row["correlation"] == pytest.approx(expected, abs=4 / np.sqrt(4000))
    assert row["auc_se"] == pytest.approx(np.sqrt(auc @ auc), rel=0.01)
    assert row["dice_any_se"] == pytest.approx(np.sqrt(dice @ dice), rel=0.01)
    n_positive = min(frame["label"].sum(), (frame["label"] == 0).sum())
    assert row["auc_df"] == n_positive - 1
    assert row["auc_radius"] == pytest.approx(np.sqrt(2 * stats.f.ppf(0.95, 2, n_positive - 1)))


def test_three_seeds_widen_an_axis_to_seeds_by_cases(make_seeds):
    frame = make_seeds((0, 1, 2), n=120)
    shift = frame["seed"].map({0: 0.0, 1: 1.5, 2: -1.5}) * frame["label"]
    frame["score"] = special.expit(special.logit(frame["score"]) + shift)
    row = joint({"a": frame}, metric="dice_any", resamples=4000).points.iloc[0]
    parts = [part.reset_index(drop=True) for _, part in frame.groupby("seed")]
    aucs = [roc_auc_score(part["label"], part["score"]) for part in parts]
    influence, dices = zip(*(influences(part)[:2] for part in parts), strict=True)
    label = parts[0]["label"].to_numpy()

    def covariance(a, b):
        groups = [(a[label == k], b[label == k]) for k in (0, 1)]
        return sum(len(x) / (len(x) - 1) * (x @ y) for x, y in groups)

    pairs = [(0, 1), (0, 2), (1, 2)]
    shared = 3 * max(np.mean([covariance(influence[i], influence[j]) for i, j in pairs]), 0)
    between = np.var(aucs, ddof=1)
    assert row["auc_se"] == pytest.approx(np.sqrt((between + shared) / 3), rel=1e-6)
    assert row["auc_df"] == pytest.approx(2 * ((between + shared) / between) ** 2)
    mean, dice = np.mean(influence, axis=0), np.mean(dices, axis=0)
    patients = np.sqrt(covariance(mean, mean) * (dice @ dice))
    assert row["auc_se"] > np.sqrt(covariance(mean, mean))
    drawn = row["correlation"] * row["auc_se"] * row["dice_any_se"]
    assert drawn == pytest.approx(mean @ dice, abs=4 / np.sqrt(4000) * patients)


def test_equal_seeds_are_never_narrower_than_the_patients_alone(make):
    one = make(100)
    frame = pd.concat([one.assign(seed=seed) for seed in range(3)], ignore_index=True)
    rows = [joint({"a": f}, resamples=200).points.iloc[0] for f in (frame, one)]
    for name in ("auc_se", "dice_se", "correlation", "auc_df"):
        assert rows[0][name] == pytest.approx(rows[1][name])


def test_outline_is_an_ellipse_of_the_logits():
    value, se, radius, rho = np.array([0.8, 0.3]), np.array([0.02, 0.05]), np.array([2.0, 3.0]), 0.6
    edge = outline(value, se, rho, radius)
    u, v = ((special.logit(edge) - special.logit(value)) / (se / (value * (1 - value)) * radius)).T
    np.testing.assert_allclose((u**2 - 2 * rho * u * v + v**2) / (1 - rho**2), 1)
    assert ((edge > 0) & (edge < 1)).all()


def test_a_small_region_has_the_area_of_its_covariance():
    """Bivariate normal: the area is π r² σ₁ σ₂ √(1 − ρ²); 95 % lies within r² = 5.99."""
    value, se, rho = np.array([0.6, 0.5]), np.array([1e-4, 2e-4]), -0.5
    radius = np.sqrt(stats.chi2.ppf(0.95, 2))
    x, y = outline(value, se, rho, np.array([radius, radius])).T
    area = abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2
    expected = np.pi * radius**2 * se.prod() * np.sqrt(1 - rho**2)
    assert area == pytest.approx(expected, rel=1e-2)


def test_dominance_of_independent_normals_is_a_product():
    rng = np.random.default_rng(0)
    shift = np.array([[0.0, 0.0], [0.5, -0.3]])
    value_AB2 = shift[:, None] + rng.standard_normal((2, 200_000, 2))
    wins = dominates(value_AB2)
    one, two = stats.norm.cdf(np.array([0.5, -0.3]) / np.sqrt(2))
    assert wins[1, 0].mean() == pytest.approx(one * two, abs=0.005)
    assert wins[0, 1].mean() == pytest.approx((1 - one) * (1 - two), abs=0.005)
    assert not wins[0, 0].any()
    assert undominated(wins)[0].mean() == pytest.approx(1 - one * two, abs=0.005)


def test_front_by_hand():
    points = np.array([[0.8, 0.3], [0.7, 0.4], [0.8, 0.2], [0.6, 0.4], [0.8, 0.3]])
    front = undominated(dominates(points[:, None]))[:, 0]
    assert front.tolist() == [True, True, False, False, True]


def test_arms_with_one_task_are_left_out_and_ties_dominate_nobody(make, make_seeds):
    both, better = make(80), make(80, seed=2, quality=3)
    masks = both.assign(score=np.nan)
    scores = both.drop(columns=[f"{kind}_{k}" for kind in ("pred", "both") for k in range(5)])
    frames = {"a": both, "seg": masks, "same": both, "cls": scores, "b": better}
    found = joint(frames, resamples=200, seed=1)
    assert found.points["arm"].tolist() == ["a", "same", "b"]
    p = found.dominance.set_index(["arm", "other"])["p"]
    assert p["a", "same"] == p["same", "a"] == 0
    assert p["b", "a"] == p["b", "same"] > 0
    assert len(p) == 6
    assert found.points.equals(joint(frames, resamples=200, seed=1).points)
    assert joint({"seg": masks, "cls": scores}, resamples=200).points.empty
    seeds = joint({"a": make_seeds((3, 5), n=80)}, resamples=200).seeds
    assert seeds["seed"].tolist() == [3, 5]


def test_a_metric_that_is_no_dice_is_refused(make):
    with pytest.raises(StudyError, match="dice_lesions"):
        joint({"a": make(40)}, metric="brier")
