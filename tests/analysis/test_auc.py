import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from mtlbench.analysis.align import Cases
from mtlbench.analysis.auc import AucKernel, auc_rows, split_classes
from mtlbench.analysis.resample import patient_counts


def cases(label, patient):
    patient = np.asarray(patient)
    return Cases(
        image_N=np.arange(len(label)).astype(str),
        patient_N=patient,
        patients=np.unique(patient).astype(str),
        fold_N=np.zeros(len(label), int),
        label_N=np.asarray(label, float),
        true_NK=None,
    )


def evaluate(label, score, patient, counts_PB):
    table = cases(label, patient)
    folds = split_classes(table, table.label_N)
    draw = auc_rows(folds).draw(counts_PB)
    value, influence = AucKernel(folds, np.asarray(score, float))(draw)
    return value, draw.covariance(influence, influence)


def expand(label, score, patient, count_P):
    """The resample as a data set: a patient drawn twice is two patients."""
    rows, owners = [], []
    for copy in range(count_P.max(initial=0)):
        for row, owner in enumerate(patient):
            if count_P[owner] > copy:
                rows.append(row)
                owners.append((owner, copy))
    return np.asarray(label)[rows], np.asarray(score, float)[rows], owners


def placements(label, score, owners):
    """AUC and Obuchowski's variance by their definition, from all pairs."""
    positive, negative = score[label == 1], score[label == 0]
    above = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    auc, m, n = above.mean(), len(positive), len(negative)
    v10, v01 = above.mean(axis=1) - auc, above.mean(axis=0) - auc
    ids = sorted(set(owners))
    d10, d01 = dict.fromkeys(ids, 0.0), dict.fromkeys(ids, 0.0)
    own_pos = [o for o, y in zip(owners, label, strict=True) if y == 1]
    own_neg = [o for o, y in zip(owners, label, strict=True) if y == 0]
    for owner, value in zip(own_pos, v10, strict=True):
        d10[owner] += value
    for owner, value in zip(own_neg, v01, strict=True):
        d01[owner] += value
    i, j, t = len(set(own_pos)), len(set(own_neg)), len(ids)
    s10 = i / (i - 1) / m**2 * sum(d**2 for d in d10.values())
    s01 = j / (j - 1) / n**2 * sum(d**2 for d in d01.values())
    s11 = t / (t - 1) / (m * n) * sum(d10[o] * d01[o] for o in ids)
    return auc, s10 + s01 + 2 * s11


@st.composite
def clustered(draw):
    n_patients = draw(st.integers(4, 10))
    patient = np.repeat(
        np.arange(n_patients),
        draw(st.lists(st.integers(1, 3), min_size=n_patients, max_size=n_patients)),
    )
    n = len(patient)
    label = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    label[patient == 0], label[patient == 1] = 1, 1
    label[patient == 2], label[patient == 3] = 0, 0
    score = np.array(draw(st.lists(st.integers(0, 6), min_size=n, max_size=n))) / 6
    order = np.array(draw(st.permutations(range(n))))
    seed = draw(st.integers(0, 1000))
    return label[order], score[order], patient[order], seed


@settings(max_examples=60, deadline=None)
@given(clustered())
def test_value_and_variance_equal_those_of_the_resampled_data(case):
    label, score, patient, seed = case
    n_patients = patient.max() + 1
    counts_PB = next(patient_counts(n_patients, 8, seed))
    values, variances = evaluate(label, score, patient, counts_PB)
    for b, count_P in enumerate(counts_PB.T):
        y, s, owners = expand(label, score, patient, count_P)
        groups = [len({o for o, k in zip(owners, y, strict=True) if k == c}) for c in (0, 1)]
        if min(groups) == 0:
            assert np.isnan(values[b])
            continue
        weighted = roc_auc_score(label, score, sample_weight=count_P[patient])
        assert values[b] == pytest.approx(weighted, abs=1e-12)
        if min(groups) > 1:
            assert (values[b], variances[b]) == pytest.approx(placements(y, s, owners), abs=1e-12)


def test_one_case_a_patient_gives_delong():
    rng = np.random.default_rng(3)
    label, score = rng.integers(0, 2, 80), rng.normal(size=80).round(1)
    _, variance = evaluate(label, score, np.arange(80), np.ones((80, 1), int))
    positive, negative = score[label == 1], score[label == 0]
    above = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    delong = above.mean(1).var(ddof=1) / len(positive) + above.mean(0).var(ddof=1) / len(negative)
    assert variance[0] == pytest.approx(delong, abs=1e-14)


def test_triplicated_cases_have_the_variance_of_the_originals():
    rng = np.random.default_rng(4)
    label, score, patient = rng.integers(0, 2, 50), rng.normal(size=50), np.arange(50)
    once = evaluate(label, score, patient, np.ones((50, 1), int))
    thrice = evaluate(*(np.tile(x, 3) for x in (label, score, patient)), np.ones((50, 1), int))
    assert np.concatenate(thrice) == pytest.approx(np.concatenate(once), abs=1e-14)
