import numpy as np
import pandas as pd
import pytest

from mtlbench.analysis import compare
from mtlbench.analysis.align import align
from mtlbench.analysis.contrast import contrast
from mtlbench.analysis.groups import find_groups, restrict
from mtlbench.analysis.scores import calibration_statistic
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


def pooled(frame, classes):
    """Mean over classes of 2·both / (true + pred), pixels of all images together."""
    sums = frame.filter(regex="^(true|pred|both)_").sum()
    return np.mean(
        [2 * sums[f"both_{k}"] / (sums[f"true_{k}"] + sums[f"pred_{k}"]) for k in classes]
    )


def certain(frame, rows, **pixels):
    """Images of which every pixel is predicted right."""
    frame = frame.copy()
    for k in range(5):
        count = pixels.get(f"class_{k}", 0)
        frame.loc[rows, [f"true_{k}", f"pred_{k}", f"both_{k}"]] = count
    return frame


def test_an_interaction_is_of_the_classes_that_both_sides_have(frames, cases):
    ids = cases.loc[cases["view"] == "CC", "image_id"]
    benign = frames["a"]["image_id"].isin(ids) & (frames["a"]["true_1"] > 0)
    lacking = {name: certain(frame, benign, class_0=400) for name, frame in frames.items()}
    found, notes = subgroups(
        lacking, cases, ["view"], baseline="a", metrics=["dice_lesions"], resamples=200
    )
    parts = {
        (name, side): frame[frame["image_id"].isin(ids) == side]
        for name, frame in lacking.items()
        for side in (True, False)
    }
    delta = {
        (side, classes): pooled(parts["b", side], classes) - pooled(parts["a", side], classes)
        for side, classes in ((True, (2, 3, 4)), (False, (2, 3, 4)), (False, (1, 2, 3, 4)))
    }
    b = found[found["arm"] == "b"].set_index("group")
    shared = delta[True, (2, 3, 4)] - delta[False, (2, 3, 4)]
    assert b.loc["CC", "interaction"] == pytest.approx(shared, abs=1e-12)
    assert b.loc["MLO", "difference"] == pytest.approx(delta[False, (1, 2, 3, 4)], abs=1e-12)
    mean = "mean over malignant mass, benign calcification, malignant calcification"
    assert [note for note in notes if mean in note] == [
        f"view = CC: dice_lesions: {mean}, without benign mass"
    ]


def test_masses_and_calcifications_share_no_class_to_test(frames):
    """Images that hold both do not change that: a group averages its own classes."""
    both = {"class_0": 300, "class_1": 60, "class_3": 40}
    mixed = {name: certain(frame, [0], **both) for name, frame in frames.items()}
    found, notes = subgroups(
        mixed,
        None,
        ["lesion_type"],
        baseline="a",
        metrics=["dice_lesions", "dice_any"],
        resamples=200,
    )
    tested = found.dropna(subset=["p"])
    assert tested["metric"].tolist() == ["dice_any"]
    why = "dice_lesions: no interaction: they share no lesion class"
    assert any(note.startswith(f"lesion_type = mass against the others: {why}") for note in notes)
    truth = mixed["a"][[f"true_{k}" for k in range(1, 5)]]
    inside = truth[["true_1", "true_2"]].any(axis=1) | ~truth.any(axis=1)
    mass = found[(found["group"] == "mass") & (found["arm"] == "a")].set_index("metric")
    expected = pooled(mixed["a"][inside], (1, 2))
    assert mass.loc["dice_lesions", "value"] == pytest.approx(expected, abs=1e-12)


def test_few_patients_are_marked_and_said_by_group(frames, cases):
    """The large group is sound by itself; its contrast with the small one is not."""
    few = cases.assign(site=["z"] * 30 + ["a"] * 210)
    found, notes = subgroups(frames, few, ["site"], baseline="a", resamples=200)
    marked = found.set_index(["group", "arm"])["reliable"]
    assert marked["a", "a"]
    assert not marked["a", "b"], "its interaction rests on the few of the other group"
    assert not marked[["z"]].any()
    only = [note for note in notes if "only" in note and "test patients have" in note]
    assert [note.split(": ")[0] for note in only] == ["site = a against the others", "site = z"]


def test_one_patient_of_a_kind_is_not_tested(frames, cases):
    frame = frames["a"]
    one = frame.index[frame["label"] == 1][0]
    small = (frame["label"] == 0) & (np.arange(len(frame)) < 60) | (frame.index == one)
    found, notes = subgroups(
        frames, cases.assign(site=np.where(small, "z", "a")), ["site"], baseline="a", resamples=200
    )
    assert found["p"].isna().all()
    assert found["interaction"].notna().sum() == 1
    assert any("only 1 test patient has a positive case" in note for note in notes)


def test_a_group_without_a_value_makes_no_test(frames, cases):
    """Where a third group has no positive case, the two others are two: one test."""
    frame = frames["a"]
    none = (frame["label"] == 0) & (np.arange(len(frame)) < 80)
    three = cases.assign(site=np.where(none, "none", cases["view"]))
    found, notes = subgroups(frames, three, ["site", "site"], baseline="a", resamples=200)
    assert found["p"].notna().sum() == 1
    tested = found.dropna(subset=["p"]).iloc[0]
    b = found[found["arm"] == "b"].set_index("group")["difference"]
    assert tested["interaction"] == pytest.approx(b["CC"] - b["MLO"], abs=1e-15)
    assert tested["p_adjusted"] == tested["p"]
    assert any(note.startswith("site = none: auc: no value: ") for note in notes)


def test_a_contrast_of_calibration_errors_is_centred_at_what_resamples_estimate(frames, cases):
    """The plain errors, which the resamples have too: Σ|Σ(score − label)| / n over ten bins."""
    aligned, arms = align({"a": frames["a"]})
    view_N = cases.set_index("image_id").loc[aligned.image_N, "view"].to_numpy()
    parts = [
        calibration_statistic("ece", *restrict(aligned, arms, view_N == view))
        for view in ("CC", "MLO")
    ]
    table = frames["a"].merge(cases, on="image_id")
    plain = {
        view: (part["score"] - part["label"]).groupby(part["score"] * 10 // 1).sum().abs().sum()
        / len(part)
        for view, part in table.groupby("view")
    }
    centre = contrast(*parts).centres["a"]
    assert centre == pytest.approx(plain["CC"] - plain["MLO"], abs=1e-12)


def test_ids_of_other_types_name_the_same_images(frames, cases):
    number = {name: index for index, name in enumerate(cases["image_id"])}
    numbered = {k: f.assign(image_id=f["image_id"].map(number)) for k, f in frames.items()}
    table = cases.assign(image_id=cases["image_id"].map(number))
    expected = within(frames, cases, ["view"])["interaction"].tolist()
    as_text = table.astype({"image_id": str})
    as_floats = table.astype({"image_id": float})
    for other in (table, as_text, as_floats):
        assert within(numbered, other, ["view"])["interaction"].tolist() == pytest.approx(
            expected, nan_ok=True, abs=1e-12
        )
    padded = table.assign(image_id=cases["image_id"].str[1:])
    with pytest.raises(DataError, match=r"but not 0, 1, 10.*ids are like '0000'"):
        within(numbered, padded, ["view"])


def test_an_image_has_one_value(frames, cases):
    twice = pd.concat([cases, cases.iloc[[7]].assign(view="other")])
    with pytest.raises(DataError, match="view must be one for an image, but i0007 has two"):
        within(frames, twice, ["view"])


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


@pytest.mark.parametrize(
    ("written", "names"),
    [
        (["1.0", "2.0", ""], ["1", "2"]),
        (["1.0", "2.5", ""], ["1.0", "2.5"]),
        (["01", "1.0", ""], ["01", "1.0"]),
    ],
)
def test_whole_numbers_that_were_written_as_floats_name_groups(make, written, names):
    """A column of whole numbers with gaps comes as 2.0 from pandas."""
    aligned, _ = align({"a": make(6)})
    table = pd.DataFrame({"image_id": aligned.image_N, "density": written * 2})
    assert [group.name for group in find_groups(aligned, table, "density")] == names
