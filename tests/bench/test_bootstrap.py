import numpy as np
import pytest

from mtlbench.analysis.frame import check
from mtlbench.bench import bootstrap
from mtlbench.bench.measure import Row


@pytest.fixture
def small(monkeypatch):
    sizes = {"CASES": 90, "ARM_CASES": 90, "RESAMPLES": 100, "PEER_RESAMPLES": 2}
    for name, size in (sizes | {"ROUNDS": 1, "ARM_ROUNDS": 1}).items():
        monkeypatch.setattr(bootstrap, name, size)
    monkeypatch.setattr(bootstrap, "START", "pass")


def test_every_row_is_measured(small):
    result = bootstrap.run()
    bars = {row.id: row.bar for row in result.rows}
    assert bars == {
        "auc_percentile": 0.015,
        "auc_studentised": 0.05,
        "auc_studentised_clustered": 0.08,
        "dice_all": 5,
        "memory_mb": 50,
        "compare_start": 2.5,
    }
    assert all(row.value > 0 for row in result.rows)


def test_arms_share_the_truth_and_differ_in_the_rest():
    one, other = (bootstrap.with_masks(bootstrap.scores(200, seed=k), k) for k in (0, 1))
    truth = ["label", *(f"true_{k}" for k in range(5))]
    assert one[truth].equals(other[truth])
    assert (one["score"] != other["score"]).all()
    assert not one["pred_1"].equals(other["pred_1"])
    assert len(check(one, "one")) == 200


def test_patients_of_several_cases():
    patients = bootstrap.scores(90, per_patient=3)["patient_id"]
    assert np.unique(patients, return_counts=True)[1].tolist() == [3] * 30


def test_noise_is_a_fraction_of_the_bar():
    assert Row("a", "", 0.0152, "ratio", 0.015).holds(0.02)
    assert not Row("a", "", 0.0152, "ratio", 0.015).holds(0.01)
    assert Row("a", "", 1.65, "ratio", 1.67, "higher").holds(0.02)
    assert Row("a", "", None, "ratio", 1.0).holds(0.02) is None
    assert Row("a", "", 0.9, "ratio", 1.0).holds(0.11) is None, "a busy machine judges nothing"
