import subprocess
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sklearn
from scipy import stats
from scipy.special import logit

from mtlbench import metrics
from mtlbench.analysis import METRICS as ALL
from mtlbench.analysis import compare
from mtlbench.errors import StudyError

METRICS = [metric for metric in ALL if metric != "froc"]  # which has other tables: test_froc.py
COUNTS = [f"{kind}_{k}" for kind in ("true", "pred", "both") for k in range(5)]
ESTIMATES = [
    *("arm", "metric", "value", "low", "high", "level", "method", "se"),
    *("n_patients", "n_cases", "n_positive", "n_negative", "n_resamples", "n_undefined"),
    *("closed_low", "closed_high", "closed_se", "n_seeds", "seed_sd", "reliable", "doubts"),
]
COMPARISONS = [
    *("arm", "baseline", "metric", "difference", "low", "high", "p", "p_adjusted", "method"),
    *("reliable", "doubts"),
    *("margin", "p_noninferior"),
]


def counts(frame):
    return [
        frame[[f"{kind}_{k}" for k in range(5)]].to_numpy() for kind in ("true", "pred", "both")
    ]


def reference(frame, metric):
    if metric == "ece":
        return calibration_error(frame)
    if metric in SCORED:
        return SCORED[metric](frame["label"].to_numpy(), frame["score"].to_numpy())
    return getattr(metrics, metric)(*counts(frame))


def roc_height(label, score, at=0.1):
    """Of the ROC curve, straight between thresholds; the top where it rises."""
    fpr, tpr, _ = sklearn.roc_curve(label, score, drop_intermediate=False)
    left = np.searchsorted(fpr, at, side="right") - 1
    part = (at - fpr[left]) / (fpr[left + 1] - fpr[left])
    return tpr[left] + part * (tpr[left + 1] - tpr[left])


def calibration_error(frame):
    """By bins of a tenth, each bin's |error| less the excess of the folded normal's mean."""
    n, error = len(frame), 0.0
    patients = frame.groupby("patient_id").size()
    gap = frame["score"] - frame["label"]
    for _, part in gap.groupby(np.minimum((frame["score"] * 10).astype(int), 9)):
        per_patient = part.groupby(frame["patient_id"]).sum().reindex(patients.index, fill_value=0)
        mean = part.sum() / n
        sd = np.sqrt(((per_patient - mean * patients) ** 2).sum()) / n
        shrunk = np.sqrt(max(mean**2 - sd**2, 0))
        error += abs(mean) - (stats.foldnorm.mean(shrunk / sd, scale=sd) - shrunk)
    return max(error, 0)


SCORED = {
    "auc": metrics.auc,
    "sens_at_spec90": roc_height,
    "spec_at_sens90": lambda label, score: roc_height(1 - label, -score),
    "pauc_spec90": lambda label, score: sklearn.roc_auc_score(label, score, max_fpr=0.1),
    "ap": sklearn.average_precision_score,
    "brier": sklearn.brier_score_loss,
}


def row(result, arm, metric="auc"):
    table = result.estimates
    return table[(table["arm"] == arm) & (table["metric"] == metric)].iloc[0]


@pytest.fixture(scope="module")
def frames(make):
    return {name: make(90, images_per_patient=3, seed=k) for k, name in enumerate("abc")}


@pytest.fixture(scope="module")
def result(frames):
    return compare(frames, baseline="a", metrics=METRICS, resamples=400)


def test_one_row_for_each_arm_and_metric(result, frames):
    assert list(result.estimates.columns) == ESTIMATES
    assert list(result.comparisons.columns) == COMPARISONS
    assert sorted(zip(result.estimates["arm"], result.estimates["metric"], strict=True)) == sorted(
        (arm, metric) for arm in frames for metric in METRICS
    )
    assert result.comparisons["arm"].tolist() == ["b", "c"] * len(METRICS)
    assert (result.comparisons["baseline"] == "a").all()


def test_values_are_those_of_metrics(result, frames):
    for _, found in result.estimates.iterrows():
        value = reference(frames[found["arm"]], found["metric"])
        assert found["value"] == pytest.approx(value, abs=1e-14)
        assert found["low"] < value < found["high"]
        assert found["closed_low"] < value < found["closed_high"]
    for _, found in result.comparisons.iterrows():
        values = [reference(frames[found[side]], found["metric"]) for side in ("arm", "baseline")]
        assert found["difference"] == pytest.approx(values[0] - values[1], abs=1e-14)
        assert (found["p"] < 0.05) == (found["low"] > 0 or found["high"] < 0)
        assert found["p_adjusted"] >= found["p"] >= 1 / 401


def test_numbers_of_cases(result, frames):
    frame = frames["a"]
    found = row(result, "a", "auc")
    assert (found["n_patients"], found["n_cases"]) == (30, 90)
    assert found["n_positive"] == frame["label"].sum() == 90 - found["n_negative"]
    assert row(result, "a", "dice")["n_positive"] == (frame["true_0"] < 400).sum()
    assert result.classes["dice_any"] == ("lesion",)
    assert len(result.classes["dice_lesions"]) == 4


@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric != "ece"])
def test_se_is_that_of_scipys_bootstrap(metric, make):
    """Independent cases, so that scipy can draw them; 2,000 resamples each: within 10 %."""
    frame = make(60)
    found = row(compare({"a": frame}, metrics=[metric], resamples=2000), "a", metric)

    def statistic(index):
        return reference(frame.iloc[index], metric)

    drawn = stats.bootstrap(
        (np.arange(60),), statistic, vectorized=False, n_resamples=2000, method="percentile",
        rng=np.random.default_rng(0),
    )  # fmt: skip
    assert found["se"] == pytest.approx(drawn.standard_error, rel=0.1)


def test_closed_form_is_obuchowskis_on_the_logit_scale(make):
    frame = make(70)
    found = row(compare({"a": frame}, resamples=100), "a")
    positive, negative = (frame.loc[frame["label"] == k, "score"].to_numpy() for k in (1, 0))
    above = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    se = np.sqrt(
        above.mean(1).var(ddof=1) / len(positive) + above.mean(0).var(ddof=1) / len(negative)
    )
    t = stats.t.ppf(0.975, min(len(positive), len(negative)) - 1)
    auc = above.mean()
    half = t * se / (auc * (1 - auc))
    assert found["closed_se"] == pytest.approx(se, abs=1e-14)
    assert logit(found["closed_low"]) == pytest.approx(logit(auc) - half)
    assert logit(found["closed_high"]) == pytest.approx(logit(auc) + half)


def test_neither_order_of_rows_nor_other_arms_and_metrics_change_a_number(result, frames):
    shuffled = {name: frame.sample(frac=1, random_state=5) for name, frame in frames.items()}
    again = compare(shuffled, baseline="a", metrics=METRICS, resamples=400)
    pd.testing.assert_frame_equal(again.estimates, result.estimates, check_exact=True)
    pd.testing.assert_frame_equal(again.comparisons, result.comparisons, check_exact=True)
    alone = compare({"b": frames["b"]}, metrics=["dice"], resamples=400)
    assert row(alone, "b", "dice").equals(row(result, "b", "dice"))


def test_another_seed_gives_other_limits_and_the_same_values(result, frames):
    other = compare(frames, metrics=["auc"], resamples=400, seed=1)
    assert row(other, "a")["low"] != row(result, "a")["low"]
    assert row(other, "a")["value"] == row(result, "a")["value"]


def test_swapping_arms_flips_the_sign_only(frames):
    pair = {name: frames[name] for name in "ab"}
    one, two = (compare(pair, baseline=base, resamples=300).comparisons.iloc[0] for base in "ab")
    assert one["difference"] == -two["difference"]
    assert (one["low"], one["high"], one["p"]) == (-two["high"], -two["low"], two["p"])


def test_a_monotone_transform_of_scores_changes_nothing(frames):
    moved = {
        name: frame.assign(score=np.exp(5 * frame["score"] - 5)) for name, frame in frames.items()
    }
    one, two = (compare(tables, baseline="a", resamples=200) for tables in (frames, moved))
    pd.testing.assert_frame_equal(one.estimates, two.estimates, check_exact=True)
    pd.testing.assert_frame_equal(one.comparisons, two.comparisons, check_exact=True)


@pytest.mark.parametrize("metric", ["auc", "brier"])
@pytest.mark.parametrize("method", [None, "bca", "percentile"])
def test_p_of_inferiority_turns_where_the_interval_meets_the_margin(frames, metric, method):
    """Below 2.5 % exactly where the 95 % interval is on the good side of the margin."""
    pair = {name: frames[name] for name in "ab"}

    def p_noninferior(margin):
        found = compare(
            pair, baseline="a", metrics=[metric], resamples=400, method=method,
            margins={metric: margin},
        )  # fmt: skip
        return found.comparisons["p_noninferior"].item()

    found = compare(pair, baseline="a", metrics=[metric], resamples=400, method=method)
    worst = found.comparisons["high" if metric == "brier" else "low"].item()
    worse_by = worst if metric == "brier" else -worst
    assert worse_by > 0.01
    assert p_noninferior(worse_by + 0.002) < 0.025 < p_noninferior(worse_by - 0.002)


def test_an_equal_arm_is_not_inferior(frames):
    pair = {"a": frames["a"], "twin": frames["a"]}
    found = compare(pair, baseline="a", resamples=100, margins={"auc": 0.01})
    assert found.comparisons["p_noninferior"].item() == pytest.approx(1 / 101)


def test_identical_predictions(frames):
    twins = {"a": frames["a"], "twin": frames["a"]}
    found = compare(twins, baseline="a", metrics=METRICS, resamples=100)
    assert (found.comparisons["difference"] == 0).all()
    assert (found.comparisons["p"] == 1).all()
    assert (found.comparisons["p_adjusted"] == 1).all()
    assert found.comparisons[["low", "high"]].isna().all(axis=None)
    for metric in METRICS:
        assert any(w.startswith(f"{metric}, twin - a: equal") for w in found.warnings)


def test_p_touches_zero_at_its_own_level(frames):
    pair = {name: frames[name] for name in "ab"}
    p = compare(pair, baseline="a", resamples=400).comparisons.iloc[0]["p"]
    found = compare(pair, baseline="a", resamples=400, level=1 - p).comparisons.iloc[0]
    assert min(abs(found["low"]), abs(found["high"])) < 1e-12


def test_holm_is_within_a_metric(result):
    for _, family in result.comparisons.groupby("metric"):
        low, high = sorted(family["p"])
        adjusted = [min(1, 2 * low), max(min(1, 2 * low), high)]
        assert sorted(family["p_adjusted"]) == pytest.approx(adjusted)


def test_a_baseline_for_each_metric(frames):
    bases = {"auc": "a", "dice": "b"}
    found = compare(frames, baseline=bases, metrics=["auc", "dice", "dice_any"], resamples=100)
    assert found.comparisons[["metric", "baseline"]].drop_duplicates().values.tolist() == [
        ["auc", "a"],
        ["dice", "b"],
    ]


def test_seeds_are_averaged_and_from_three_on_random(make_seeds):
    two, three = (make_seeds(range(k), n=60) for k in (2, 3))
    few, many = (compare({"a": frame}, metrics=METRICS, resamples=200) for frame in (two, three))
    for metric in METRICS:
        values = [reference(part, metric) for _, part in three.groupby("seed")]
        found = row(many, "a", metric)
        assert found["value"] == pytest.approx(np.mean(values), abs=1e-14)
        assert found["seed_sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-14)
        assert found["n_seeds"] == 3
        assert "Obuchowski-Rockette-Hillis" in found["method"]
        assert "bootstrap" in row(few, "a", metric)["method"]
    assert any("these trained models only" in warning for warning in few.warnings)
    assert not any("these trained models only" in warning for warning in many.warnings)


@pytest.mark.parametrize(
    ("seeds", "method", "said"),
    [
        (range(3), "Obuchowski-Rockette-Hillis", None),
        (range(3, 6), "Obuchowski-Rockette-Hillis", "a sample of their own, not paired"),
        (range(5), "Obuchowski-Rockette-Hillis", "a sample of their own, not paired"),
        (range(2), "studentised patient bootstrap", "these trained models only"),
    ],
)
def test_differences_pair_equal_seeds_and_say_where_they_cannot(make_seeds, seeds, method, said):
    tables = {"a": make_seeds(range(3), n=60), "b": make_seeds(seeds, n=60)}
    found = compare(tables, baseline="a", resamples=200)
    assert method in found.comparisons["method"].item()
    told = [warning for warning in found.warnings if "other seeds" in warning]
    assert said in told[0] if said else not told
    swapped = compare(tables, baseline="b", resamples=200).comparisons
    assert swapped["p"].item() == pytest.approx(found.comparisons["p"].item(), rel=1e-9)


def test_folds_are_evaluated_apart_and_averaged(make):
    frame = make(90, images_per_patient=3)
    frame["fold"] = np.arange(90) // 3 % 2
    found = compare({"a": frame}, metrics=["auc", "dice_any"], resamples=200)
    for metric in ("auc", "dice_any"):
        parts = [
            compare({"a": part}, metrics=[metric], resamples=200).estimates.iloc[0]
            for _, part in frame.groupby("fold")
        ]
        assert row(found, "a", metric)["value"] == pytest.approx(
            np.mean([p["value"] for p in parts])
        )
        variance = sum(part["closed_se"] ** 2 for part in parts) / 4
        assert row(found, "a", metric)["closed_se"] == pytest.approx(np.sqrt(variance))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["auroc"]}, "a metric must be one of auc, dice, .*but got 'auroc'"),
        ({"baseline": "d"}, r"baseline must be one of \['a', 'b', 'c'\], but got 'd'"),
        ({"baseline": {"auc": "d"}}, "baseline must be one of"),
        ({"baseline": {"auroc": "a"}}, "a metric must be one of"),
        ({"level": 95}, "level must be between 0 and 1, but got 95"),
        ({"resamples": 10}, "resamples must be >= 100 for intervals of level 0.95, but got"),
        ({"level": 0.999, "resamples": 1999}, "resamples must be >= 2000 for intervals of level"),
        ({"seed": -1}, "seed must be >= 0, but got -1"),
    ],
)
def test_faulty_arguments_are_refused(options, message, frames):
    with pytest.raises(StudyError, match=message):
        compare(frames, **options)


def test_memory_is_a_chunks_not_that_of_all_resamples(make):
    """600 resamples of 4,000 patients would take 19 MB as one array of counts; a chunk takes 1."""
    frame = make(4000)
    tables = {"a": frame, "b": frame.assign(score=frame["score"].round(1))}
    compare(tables, baseline="a", resamples=100)
    tracemalloc.start()
    compare(tables, baseline="a", resamples=600)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16e6


SCRIPT = """
import sys
import pandas as pd
from mtlbench.analysis import METRICS, compare
frames = {name: pd.read_csv(f"{sys.argv[1]}/{name}.csv") for name in "ab"}
result = compare(frames, baseline="a", metrics=METRICS, resamples=200)
assert not {"torch", "optuna", "matplotlib", "sklearn"} & set(sys.modules)
for table in (result.estimates, result.comparisons):
    print(table.to_json(double_precision=15))
"""


def test_the_number_of_threads_changes_nothing(make, tmp_path):
    for k, name in enumerate("ab"):
        make(700, seed=k).to_csv(tmp_path / f"{name}.csv", index=False)
    printed = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path)],
            env={"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(printed) == 1
    assert len(printed.pop()) > 1000


def test_cases_without_label_or_mask_are_left_out(frames):
    frame = frames["a"].copy()
    frame.loc[:8, "label"] = np.nan
    frame.loc[60:, COUNTS] = np.nan
    found = compare({"a": frame}, metrics=["auc", "dice"], resamples=100)
    assert row(found, "a")["value"] == pytest.approx(reference(frame[9:], "auc"))
    assert row(found, "a", "dice")["value"] == pytest.approx(reference(frame[:60], "dice"))
    assert (row(found, "a")["n_patients"], row(found, "a", "dice")["n_patients"]) == (27, 20)
