"""The figures of curves and single seeds: what they draw is what scikit-learn and numpy say."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_recall_curve

from mtlbench.metrics import auc
from mtlbench.report.collect import read_study
from mtlbench.report.figures import bands, calibration, ecdf, froc, pr, swarm
from mtlbench.report.figures.style import line_styles, styled
from mtlbench.report.figures.swarm import NEAR, _layers
from mtlbench.report.numbers import measure


@pytest.fixture(scope="module")
def study(written):
    return read_study(written / "arms")


@pytest.fixture(scope="module")
def numbers(study):
    return measure(study)


@pytest.fixture
def draw(study, numbers, monkeypatch):
    """Draw the one figure of a module, with few resamples."""
    monkeypatch.setattr(bands, "RESAMPLES", 100)

    def drawn(module):
        with styled():
            (one,) = module.draw(study, numbers)
            one.figure.draw_without_rendering()
        return one

    return drawn


def test_arms_are_apart_without_their_colours(draw, study):
    lines = [line for line in draw(pr).figure.axes[0].lines if len(line.get_xdata()) > 2]
    assert len({line.get_linestyle() for line in lines}) == 3
    joint = study.of_arm("joint")[0]
    pair = (joint, replace(joint, name="another"))
    assert [style["linestyle"] for style in line_styles(study, pair).values()] == ["-.", "-"]


def test_pr_is_the_mean_over_seeds_of_the_precision_at_each_recall(draw, study):
    drawn = draw(pr)
    cell = study.of_arm("joint")[0]
    for recall in (0.25, 0.5, 1.0):
        expected = []
        for _, part in cell.frame.groupby("seed"):
            precision, reached, _ = precision_recall_curve(part["label"], part["score"])
            expected.append(precision[np.flatnonzero(reached >= recall - 1e-9)[-1]])
        rows = drawn.data[
            (drawn.data["cell"] == "joint") & np.isclose(drawn.data["recall"], recall)
        ]
        assert rows["precision"].item() == pytest.approx(np.mean(expected))
    assert set(drawn.data["cell"]) == {"cls", "sequential", "joint"}
    share = 100 * cell.frame["label"].mean()
    assert f"the {share:.1f} % of the cases that are positive" in drawn.caption
    assert "bands: pointwise 95 % percentile intervals of 100 resamples" in drawn.caption


def test_calibration_has_a_panel_per_arm_and_counts_every_case(draw, study):
    drawn = draw(calibration)
    titles = [axis.get_title() for axis in drawn.figure.axes if axis.get_title()]
    assert titles == ["cls", "sequential", "joint"]
    counted = drawn.data.groupby("cell")["n"].sum()
    cases = len(study.complete[0].frame) / len(study.complete[0].seeds)
    assert counted.to_dict() == pytest.approx(dict.fromkeys(titles, cases))
    for _, rows in drawn.data.groupby("cell"):
        assert ((rows["bin"] <= rows["score"]) & (rows["score"] <= rows["bin"] + 0.1)).all()
    hollow = [line for line in drawn.figure.axes[0].lines if line.get_markerfacecolor() == "white"]
    few = drawn.data[(drawn.data["cell"] == "cls") & (drawn.data["n"] < calibration.FEW)]
    assert list(hollow[0].get_xdata()) == list(few["score"])


def test_ecdf_is_the_share_of_images_with_a_lesion(draw, study):
    frame = study.of_arm("seg")[0].frame
    frame = frame[frame["true_0"] < 3072]
    true, pred = 3072 - frame["true_0"], 3072 - frame["pred_0"]
    dice = 2 * (true - frame["pred_0"] + frame["both_0"]) / (true + pred)
    drawn = draw(ecdf)
    rows = drawn.data.query("cell == 'seg'")
    legend = [text.get_text() for text in drawn.figure.legends[0].texts]
    assert legend[0] == f"seg (mean {100 * dice.mean():.1f} %)"
    for t in (0.2, 0.5, 0.8):
        share = rows.loc[np.isclose(rows["dice"], t), "fraction"].item()
        assert share == pytest.approx((dice >= t).mean())


def test_swarm_shows_each_seed_beside_the_mean(draw, study, numbers):
    data = draw(swarm).data
    cell = study.of_arm("cls")[0]
    rows = data[(data["cell"] == "cls") & (data["metric"] == "auc")]
    expected = [
        auc(part["label"].to_numpy(), part["score"].to_numpy())
        for _, part in cell.frame.groupby("seed")
    ]
    assert rows["value"].tolist() == pytest.approx([numbers.value(cell, "auc"), *expected])
    assert rows["seed"].isna().tolist() == [True, False, False]
    assert rows["low"].notna().tolist() == [True, False, False]


def test_with_one_seed_there_is_no_swarm(patients_study):
    study = read_study(patients_study(20))
    assert not list(swarm.draw(study, measure(study)))


def test_seeds_that_would_overlap_lie_below_each_other():
    near = 0.9 * NEAR
    assert _layers([0, near, 2 * near, 1], width=1) == [0, 1, 0, 0]


@pytest.fixture
def localised(arms_study, believe):
    """Every lesion of `seg` is hit by a sure candidate, none of the other arms' is."""
    cells = pd.read_csv(arms_study / "cells.csv").set_index("hash")["arm"]
    for path in sorted(arms_study.glob("runs/*/predictions.csv")):
        arm = cells[path.parent.name]
        names = pd.read_csv(arms_study / "runs" / cells.index[cells == "seg"][0] / path.name)
        names = names.loc[(names["split"] == "test") & (names["true_0"] < 3072), "image_id"]
        hit = {"cls": "", "seg": 1}.get(arm, 0)
        score = 0.9 if arm == "seg" else ""
        found = names if arm == "seg" else names[:0]
        lesions = pd.DataFrame({"image_id": names, "lesion": 1, "hit": hit, "score": score})
        candidates = pd.DataFrame({"image_id": found, "score": 0.9, "hit": 1})
        lesions.to_csv(path.with_name("lesions.csv"), index=False)
        candidates.to_csv(path.with_name("candidates.csv"), index=False)
        believe(path.with_name("lesions.csv"))
        believe(path.with_name("candidates.csv"))
    return arms_study


def test_froc_has_a_curve_for_each_arm_that_localises(localised, monkeypatch):
    monkeypatch.setattr(bands, "RESAMPLES", 50)
    study = read_study(localised)
    with styled():
        (drawn,) = froc.draw(study, measure(study))
    heights = drawn.data.groupby("cell")["sensitivity"].agg(["min", "max"])
    assert heights.loc["seg"].tolist() == [1, 1]
    assert heights.loc["joint"].tolist() == [0, 0]
    assert "cls" not in heights.index
    (line,) = [line for line in drawn.figure.axes[0].lines if line.get_label().startswith("joint")]
    assert line.get_marker() == "o"  # no candidate: a curve of one point
    assert "seg (FROC score 100.0 %)" in [t.get_text() for t in drawn.figure.legends[0].texts]


def test_the_full_table_has_the_sensitivity_at_each_rate(localised):
    numbers = measure(read_study(localised))
    for rate in ("0.25", "0.5", "1", "2", "4"):
        assert numbers.estimate["seg", f"froc_at_{rate}"]["value"] == 1
        assert numbers.estimate["joint", f"froc_at_{rate}"]["value"] == 0


def test_without_findings_there_is_no_froc(arms_study, believe):
    for path in [*arms_study.glob("runs/*/lesions.csv"), *arms_study.glob("runs/*/candidates.csv")]:
        path.unlink()
        believe(path)
    study = read_study(arms_study)
    assert not list(froc.draw(study, measure(study)))


def test_many_curves_have_no_bands(study, numbers, monkeypatch):
    monkeypatch.setattr(bands, "RESAMPLES", 50)
    monkeypatch.setattr(bands, "BANDED", 2)
    with styled():
        (drawn,) = pr.draw(study, numbers)
    assert "no bands, since 3 of them would hide each other" in drawn.caption
    assert not drawn.figure.axes[0].collections
