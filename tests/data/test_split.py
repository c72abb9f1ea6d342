import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlbench.config import DataConfig
from mtlbench.data.split import fold_split, split_cases
from mtlbench.errors import DataError, StudyError


def make_cases(patients, seed=0):
    """One to four images for each (label, has lesion) of `patients`."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "image_id": f"i{number}_{view}",
            "patient_id": f"p{number:03d}",
            "label": label if view == 0 else (None if label is None else 0),
            "n_lesions": int(lesion and view == 0),
            "split": "",
        }
        for number, (label, lesion) in enumerate(patients)
        for view in range(int(rng.integers(1, 5)))
    ]
    return pd.DataFrame(rows).astype({"label": "Int64"})


def per_patient(cases):
    assert (cases.groupby("patient_id")["split"].nunique() == 1).all()
    table = cases.groupby("patient_id").agg(split=("split", "first"), label=("label", "max"))
    assert set(table["split"]) <= {"train", "val", "test"}
    return table


patient_lists = st.lists(
    st.tuples(st.sampled_from([0, 1, None]), st.booleans()), min_size=3, max_size=80
)
shares = st.sampled_from([0.1, 0.15, 0.25, 0.33])


@settings(max_examples=60)
@given(patient_lists, shares, shares, st.integers(0, 5))
def test_split_properties(patients, test, validation, seed):
    cases = make_cases(patients)
    config = DataConfig(test=test, validation=validation, split_seed=seed)
    split = split_cases(cases, config)
    table = per_patient(split)
    shuffled = split_cases(cases.sample(frac=1, random_state=seed), config)
    assert shuffled["split"].sort_index().equals(split["split"])
    for label in (0, 1):
        of_label = table[table["label"] == label]
        if len(of_label) >= 3:
            assert set(of_label["split"]) == {"train", "val", "test"}
            for name, share in (("test", test), ("val", validation)):
                assert abs((of_label["split"] == name).sum() - share * len(of_label)) <= 1


def test_lesions_are_stratified_within_a_label():
    cases = make_cases([(0, number < 40) for number in range(80)])
    split = split_cases(cases, DataConfig(test=0.25, validation=0.25))
    lesions = split[split["n_lesions"] > 0].groupby("split")["patient_id"].nunique()
    assert lesions.to_dict() == pytest.approx({"train": 20, "val": 10, "test": 10}, abs=1)


def test_seed_matters_and_repeats():
    cases = make_cases([(number % 2, True) for number in range(40)])
    first, again, other = (
        split_cases(cases, DataConfig(split_seed=seed))["split"] for seed in (0, 0, 1)
    )
    assert first.equals(again)
    assert not first.equals(other)


@settings(max_examples=40)
@given(patient_lists, st.integers(2, 5), st.integers(0, 3))
def test_folds_deal_every_patient_once(patients, folds, seed):
    cases = make_cases(patients)
    config = DataConfig(folds=folds, split_seed=seed)
    if len(patients) < folds:
        with pytest.raises(DataError, match="at most the number of patients"):
            split_cases(cases, config)
        return
    dealt = split_cases(cases, config)
    assert (dealt["split"] == "test").all()
    assert (dealt.groupby("patient_id")["fold"].nunique() == 1).all()
    sizes = dealt.groupby("fold")["patient_id"].nunique()
    assert sorted(sizes.index) == list(range(folds))
    assert sizes.max() - sizes.min() <= 1
    for fold in range(folds):
        split = fold_split(dealt, fold, config)
        table = per_patient(split)
        assert (split["split"] == "test").equals(dealt["fold"] == fold)
        for label in (0, 1):
            if (table["label"] == label).sum() >= 3 * folds:
                assert set(table.loc[table["label"] == label, "split"]) == {"train", "val", "test"}


def official(splits):
    cases = make_cases([(number % 2, True) for number in range(len(splits))])
    return cases.assign(split=[splits[int(patient[1:])] for patient in cases["patient_id"]])


def test_official_test_is_kept_and_validation_carved_from_train():
    cases = official(["train"] * 20 + ["test"] * 8)
    split = split_cases(cases, DataConfig(split="official", validation=0.2))
    assert (split["split"] == "test").equals(cases["split"] == "test")
    assert (per_patient(split)["split"] == "val").sum() == 4


def test_official_validation_is_kept():
    cases = official(["train"] * 6 + ["val"] * 3 + ["test"] * 3)
    assert split_cases(cases, DataConfig(split="official"))["split"].equals(cases["split"])


def test_patient_in_two_splits_is_refused_by_name():
    cases = official(["train"] * 6 + ["test"] * 3)
    cases.loc[len(cases)] = cases.iloc[-1]
    cases.loc[len(cases) - 1, "split"] = "train"
    with pytest.raises(DataError, match="1 are in two: p008") as caught:
        split_cases(cases, DataConfig(split="official"))
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ([""] * 4, "but none has"),
        (["train", "test", "", "train"], "but p002 have none"),
        (["train"] * 4, "there must be official test patients"),
    ],
)
def test_official_split_must_be_there(splits, message):
    with pytest.raises(DataError, match=message):
        split_cases(official(splits), DataConfig(split="official"))


@pytest.mark.parametrize(
    "config",
    [
        DataConfig(test=0.6, validation=0.4),
        DataConfig(folds=1),
        DataConfig(folds=3, split="official"),
    ],
)
def test_impossible_shares_and_folds(config):
    with pytest.raises(StudyError, match=r"data\."):
        split_cases(make_cases([(0, True)] * 9), config)
