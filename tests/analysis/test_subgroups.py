import numpy as np
import pandas as pd
import pytest

from mtlbench.analysis import compare
from mtlbench.analysis.subgroups import subgroups
from mtlbench.errors import DataError, StudyError


@pytest.fixture(scope="module")
def frames(make):
    return {name: make(240, images_per_patient=2, seed=k) for k, name in enumerate("ab")}


@pytest.fixture(scope="module")
def cases(frames):
    """View alternates within a patient, density by patient; one image has none."""
    ids = frames["a"]["image_id"]
    number = np.arange(len(ids))
    density = np.where(number // 2 % 3 == 0, "a", np.where(number // 2 % 3 == 1, "b", "c"))
    density[:2] = ""
    view = np.where(number % 2, "CC", "MLO")
    return pd.DataFrame({"image_id": ids, "view": view, "density": density})


def within(frames, cases, by, **options):
    return subgroups(frames, cases, by, baseline="a", resamples=200, **options)[0]


def test_a_groups_numbers_are_those_of_its_cases_alone(frames, cases):
    found = within(frames, cases, ["density"], metrics=["auc", "dice"])
    for name in "abc":
        ids = cases.loc[cases["density"] == name, "image_id"]
        alone = {k: frame[frame["image_id"].isin(ids)] for k, frame in frames.items()}
        expected = compare(alone, baseline="a", metrics=["auc", "dice"], resamples=200)
        rows = found[found["group"] == name]
        assert rows["value"].tolist() == expected.estimates["value"].tolist()
        assert rows["n_cases"].tolist() == expected.estimates["n_cases"].tolist()
        assert rows["difference"].dropna().tolist() == pytest.approx(
            expected.comparisons["difference"].tolist(), abs=1e-15
        )


def test_an_interaction_is_the_difference_of_differences(frames, cases):
    found = within(frames, cases, ["view"])
    b = found[found["arm"] == "b"].set_index("group")
    expected = b.loc["CC", "difference"] - b.loc["MLO", "difference"]
    assert b.loc["CC", "interaction"] == pytest.approx(expected, abs=1e-15)
    assert b.loc["CC", "interaction_low"] < expected < b.loc["CC", "interaction_high"]
    assert np.isnan(b.loc["MLO", "interaction"]), "of two groups one test says all"
    assert found[found["arm"] == "a"]["interaction"].isna().all()


def test_the_interval_of_an_interaction_is_that_of_resampled_patients(frames, cases):
    """Its width is near 2 · 1.96 standard deviations of the contrast over redrawn patients."""
    row = within(frames, cases, ["view"]).query("arm == 'b' and group == 'CC'").iloc[0]
    rng, values = np.random.default_rng(0), []
    tables = {name: frame.merge(cases, on="image_id") for name, frame in frames.items()}
    n_patients = len(frames["a"]) // 2
    for _ in range(300):
        drawn = rng.integers(n_patients, size=n_patients)
        index = np.concatenate([[2 * k, 2 * k + 1] for k in drawn])
        auc = {
            (name, view): _auc(part.iloc[index].query(f"view == '{view}'"))
            for name, part in tables.items()
            for view in ("CC", "MLO")
        }
        values.append(auc["b", "CC"] - auc["a", "CC"] - (auc["b", "MLO"] - auc["a", "MLO"]))
    width = row["interaction_high"] - row["interaction_low"]
    assert width == pytest.approx(2 * 1.96 * np.std(values), rel=0.2)


def _auc(frame):
    positive, negative = (frame.loc[frame["label"] == k, "score"].to_numpy() for k in (1, 0))
    return (positive[:, None] > negative).mean()


def test_equal_arms_do_not_interact_and_p_is_adjusted_over_all_tests(frames, cases, make):
    arms = frames | {"c": make(240, images_per_patient=2, seed=5)}
    found = within(arms, cases, ["density", "view"])
    tests = found.dropna(subset=["p"])
    assert len(tests) == 2 * (3 + 1)
    smallest = tests.sort_values("p").iloc[0]
    assert smallest["p_adjusted"] == pytest.approx(min(1, 8 * smallest["p"]))
    twins = within({"a": frames["a"], "twin": frames["a"]}, cases, ["view"])
    assert twins.dropna(subset=["p"])["p"].tolist() == [1.0]


def test_cases_without_a_lesion_are_in_every_group_of_lesions(frames):
    truth = frames["a"][[f"true_{k}" for k in range(5)]].to_numpy()
    mass, none = truth[:, 1:3].any(axis=1), ~truth[:, 1:].any(axis=1)
    found = within(frames, None, ["lesion_type", "lesion_size"])
    sizes = found[found["arm"] == "a"].set_index("group")["n_cases"]
    assert sizes["mass"] == (mass | none).sum()
    thirds = sizes[["smallest third", "middle third", "largest third"]] - none.sum()
    assert thirds.sum() == (~none).sum()
    assert thirds.max() - thirds.min() <= 6  # equal areas stay together


def test_folds_and_seeds_are_kept(make_seeds, cases):
    tables = {name: make_seeds(range(3), n=240, images_per_patient=2) for name in "ab"}
    tables["b"]["score"] = tables["b"]["score"] ** 2
    found = within(tables, cases, ["view"])
    assert found["value"].notna().all()


def test_what_is_asked_must_be_there(frames, cases):
    with pytest.raises(StudyError, match=r"lesion_size or a column of the cases \(view, density\)"):
        within(frames, cases, ["scanner"])
    with pytest.raises(StudyError, match="froc cannot be computed within groups"):
        within(frames, cases, ["view"], metrics=["froc"])
    with pytest.raises(DataError, match="every test image must be there, but not i0239"):
        within(frames, cases.iloc[:-1], ["view"])
