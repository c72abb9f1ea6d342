import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from mtlbench.report.collect import read_study
from mtlbench.report.figures import cases
from mtlbench.report.figures.style import styled
from mtlbench.report.numbers import measure

NORMAL = "P001_CC"
LESIONS = ("P000_CC", "P000_MLO", "P003_CC", "P003_MLO", "P004_CC")


def keep(folder, lesions=LESIONS, normal=(NORMAL,)):
    """Give every run panels of these cases; the pictures are those of the fake study."""
    for path in folder.glob("runs/*/panels.npz"):
        with np.load(path) as stored:
            old = dict(stored)
        which = [0] * len(normal) + [1] * len(lesions)
        kept = [*normal, *lesions]
        rows = pd.read_csv(path.parent / "predictions.csv").set_index("image_id").loc[kept]
        new = {key: old[key][which] for key in ("images", "truth", "pred") if key in old}
        label, score = (rows[key].to_numpy(float) for key in ("label", "score"))
        np.savez(path, **new, image_id=np.array(kept), label=label, score=score)


def draw(folder):
    study = read_study(folder)
    with styled():
        return list(cases.draw(study, measure(study)))


def lesion_dice(folder, names=LESIONS):
    """Dice of lesion against healthy by case, of seed 0 of each segmenting arm."""
    table = {}
    for arm in ("seg", "sequential", "joint"):
        cell = next(c for c in read_study(folder).complete if c.arm == arm)
        frame = cell.frame[cell.frame["seed"] == 0].set_index("image_id").loc[list(names)]
        lesion = frame["true_0"].to_numpy()
        total = frame[[f"true_{k}" for k in range(5)]].sum(axis=1).to_numpy()
        true, pred = total - lesion, total - frame["pred_0"].to_numpy()
        neither = frame["both_0"].to_numpy()  # healthy in truth and prediction
        both = true + pred - (total - neither)
        table[arm] = 2 * both / (true + pred)
    return pd.DataFrame(table, index=list(names))


def row_names(figure, columns=5):
    return [axis.get_ylabel().split("\n") for axis in figure.axes[::columns]]


def test_rows_are_the_best_the_median_and_the_worst_by_their_dice(arms_study):
    keep(arms_study)
    (drawn,) = draw(arms_study)
    ordered = lesion_dice(arms_study).mean(axis=1).sort_values(ascending=False).index
    expected = [["Normal", NORMAL], ["Best", ordered[0]], ["Median", ordered[2]]]
    assert row_names(drawn.figure) == [*expected, ["Worst", ordered[4]]]
    titles = [axis.get_title() for axis in drawn.figure.axes[:5]]
    assert titles == ["Image", "Ground truth", "seg", "sequential", "joint"]
    assert "the worst of 5 test cases" in drawn.caption
    drawn.figure.draw_without_rendering()
    texts = [text for text in drawn.figure.findobj(Text) if text.get_text()]
    assert min(text.get_fontsize() for text in texts) >= 7


def test_dice_and_score_are_those_of_the_predictions(arms_study):
    keep(arms_study)
    for path in arms_study.glob("runs/*/panels.npz"):  # what the panels say does not count
        with np.load(path) as stored:
            np.savez(path, **(dict(stored) | {"score": np.full(6, 0.123)}))
    (drawn,) = draw(arms_study)
    dice = lesion_dice(arms_study)
    table = drawn.data.set_index(["image_id", "cell"])
    for case in LESIONS:
        assert table.loc[(case, "joint"), "dice"] == pytest.approx(dice.loc[case, "joint"])
        assert table.loc[(case, "joint"), "mean_dice"] == pytest.approx(dice.loc[case].mean())
    best = dice.mean(axis=1).idxmax()
    score = table.loc[(best, "joint"), "score"]
    told = below(drawn, best)
    assert told.startswith(f"any-lesion Dice {100 * dice.loc[best, 'joint']:.0f} % ")
    assert told.endswith(f" score {score:.2f}")
    score = table.loc[(best, "cls"), "score"]
    assert drawn.figure.axes[5].get_xlabel() == f"cls: score {score:.2f}"
    assert np.isnan(table.loc[(NORMAL, "joint"), "dice"])


@pytest.mark.parametrize(
    ("lesions", "normal", "rows"),
    [
        (LESIONS[:1], (NORMAL,), ["Normal", "Lesion"]),
        (LESIONS[:2], (NORMAL,), ["Normal", "Lesion", "Lesion"]),
        (LESIONS[:3], (), ["Best", "Median", "Worst"]),
        ((), (NORMAL,), ["Normal"]),
    ],
    ids=["old panels", "two", "no normal", "no lesion"],
)
def test_what_is_there_is_ranked(arms_study, lesions, normal, rows):
    keep(arms_study, lesions, normal)
    (drawn,) = draw(arms_study)
    assert [row for row, _ in row_names(drawn.figure)] == rows
    assert ("the median" in drawn.caption) == ("Median" in rows)


def test_only_cases_that_every_run_has_kept_are_ranked(arms_study):
    keep(arms_study)
    run = next(c for c in read_study(arms_study).complete if c.arm == "joint").runs[0]
    path = run.folder.path / "panels.npz"
    with np.load(path) as stored:
        fewer = {key: values[[0, 2, 5]] for key, values in stored.items()}
    np.savez(path, **fewer)
    (drawn,) = draw(arms_study)
    assert {name for _, name in row_names(drawn.figure)} == {NORMAL, LESIONS[1], LESIONS[4]}


def predict_lesion(folder, case, area_5):
    """Let seed 0 of `joint` predict so many pixels of each class, in the true lesion if any."""
    run = next(c for c in read_study(folder).complete if c.arm == "joint").runs[0]
    path = run.folder.path / "predictions.csv"
    frame = pd.read_csv(path)
    true_5, pred_5, both_5 = (
        [f"{kind}_{k}" for k in range(5)] for kind in ("true", "pred", "both")
    )
    row = frame.index[frame["image_id"] == case][0]
    frame.loc[row, pred_5] = area_5
    frame.loc[row, both_5] = np.minimum(area_5, frame.loc[row, true_5].to_numpy(float))
    frame.to_csv(path, index=False)
    files = run.folder.record()["files"] | run.folder.describe(["predictions.csv"])
    run.folder.write_record(run.folder.record() | {"files": files})


def below(drawn, case, column=4):
    rows = [name for _, name in row_names(drawn.figure)]
    return " ".join(drawn.figure.axes[5 * rows.index(case) + column].get_xlabel().split())


@pytest.mark.parametrize(("right", "marked"), [(0.25, True), (0.75, False)])
def test_a_lesion_found_in_the_wrong_class_is_marked(arms_study, right, marked):
    """All its pixels and no other are predicted a lesion."""
    keep(arms_study, LESIONS[:1])
    cell = next(c for c in read_study(arms_study).complete if c.arm == "joint")
    truth = cell.frame.query("image_id == @LESIONS[0]").iloc[0]
    area_5 = truth[[f"true_{k}" for k in range(5)]].to_numpy(int)
    kind = 1 + int(np.argmax(area_5[1:]))
    found = round(right * area_5[kind])
    other = 1 + kind % 4
    area_5[[kind, other]] = found, area_5[kind] - found
    predict_lesion(arms_study, LESIONS[0], area_5)
    (drawn,) = draw(arms_study)
    wrong = " wrong class" if marked else ""
    assert below(drawn, LESIONS[0]).startswith(f"any-lesion Dice 100 %{wrong} score")
    assert "wrong class: most pixels" in drawn.caption
    share = drawn.data.set_index(["image_id", "cell"]).loc[(LESIONS[0], "joint"), "right_class"]
    assert share == pytest.approx(found / (found + area_5[other]))


def test_a_normal_image_tells_the_area_of_its_false_positives(arms_study):
    keep(arms_study, ())
    predict_lesion(arms_study, NORMAL, (3072 - 307, 0, 307, 0, 0))
    (drawn,) = draw(arms_study)
    assert below(drawn, NORMAL).startswith("FP area 10.0 % score")
    row = drawn.data.set_index(["image_id", "cell"]).loc[(NORMAL, "joint")]
    assert row["false_area"] == pytest.approx(307 / 3072)
    assert np.isnan(row["dice"])


def test_nothing_is_drawn_where_no_arm_segments(arms_study):
    for path in arms_study.glob("runs/*/panels.npz"):
        with np.load(path) as stored:
            np.savez(path, **{key: value for key, value in stored.items() if key != "pred"})
    assert not draw(arms_study)
