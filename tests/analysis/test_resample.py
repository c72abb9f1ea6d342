import numpy as np
import pytest

from mtlbench.analysis.resample import CHUNK, Rows, leave_one_out, patient_counts


def counts(n, resamples, seed):
    return np.concatenate(list(patient_counts(n, resamples, seed)), axis=1)


def test_every_resample_draws_as_many_patients_as_there_are():
    drawn = counts(50, 100, 0)
    assert drawn.shape == (50, 100)
    assert (drawn.sum(axis=0) == 50).all()


@pytest.mark.parametrize("n", [20, 10_001])
def test_more_resamples_begin_with_the_same_ones(n):
    few, many = counts(n, CHUNK + 3, 7), counts(n, 2 * CHUNK, 7)
    assert (few == many[:, : CHUNK + 3]).all()
    assert (many.sum(axis=0) == n).all()


def test_each_patient_is_left_out_once():
    left_out = np.concatenate(list(leave_one_out(50)), axis=1)
    assert (left_out == 1 - np.eye(50)).all()


def test_only_the_seed_decides():
    assert (counts(20, 40, 0) == counts(20, 40, 0)).all()
    assert (counts(20, 40, 0) != counts(20, 40, 1)).any()


def test_counts_have_the_moments_of_a_multinomial():
    drawn = counts(40, 4000, 0)
    assert np.abs(drawn.mean(axis=1) - 1).max() < 4 / np.sqrt(4000)
    assert abs(drawn.var() - (1 - 1 / 40)) < 0.02
    covariance = np.cov(drawn)[np.triu_indices(40, 1)].mean()
    assert abs(covariance + 1 / 40) < 0.001


def test_patients_of_both_strata_are_paired_within_their_fold():
    rows = Rows([(np.array([2, 0]), np.array([1, 2])), (np.array([3]), np.array([3, 4]))])
    draw = rows.draw(np.full((5, 1), 2))
    one, two = rows.in_both
    assert rows.patient_R[one].tolist() == rows.patient_R[two].tolist() == [2, 3]
    assert draw.shared_weight_CB[:, 0].tolist() == [2 * 6 / 5, 2 * 4 / 3]
