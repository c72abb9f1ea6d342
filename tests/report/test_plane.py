import itertools
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.text import Text

from mtlbench.analysis.regions import dominates
from mtlbench.report.collect import read_study
from mtlbench.report.figures import plane
from mtlbench.report.figures.style import styled
from mtlbench.report.numbers import measure

PAIR = ("sequential", "joint")


def draw(folder):
    return draw_study(read_study(folder))


def draw_study(study):
    numbers = measure(study)
    with styled():
        (drawn,) = plane.draw(study, numbers)
        drawn.figure.draw_without_rendering()
    return study, numbers, drawn


@pytest.fixture(scope="module")
def arms(written):
    return draw(written / "arms")


@pytest.fixture(scope="module")
def sweep(written):
    return draw(written / "sweep")


def points(axis, marker="o"):
    """Centres of the lone markers of an axis."""
    lines = [line for line in axis.lines if line.get_marker() == marker]
    return [tuple(np.ravel(line.get_xydata())) for line in lines if len(line.get_xdata()) == 1]


def test_cells_with_both_tasks_stand_at_their_estimates(arms):
    study, numbers, drawn = arms
    cells = [cell for cell in study.complete if cell.arm in ("sequential", "joint")]
    far = points(drawn.figure.axes[0])
    for cell, at in zip(cells, far, strict=False):
        assert at == pytest.approx([100 * numbers.value(cell, m) for m in ("auc", "dice")])
    others = points(drawn.figure.axes[0], "D")
    assert others == [pytest.approx((81.37, 34.98)), pytest.approx((84.02, 38.28))]  # Le 2019
    assert len(drawn.figure.axes[0].patches) == 2


def held_to(arms, **changed):
    """The figure where the joint cell's Dice has other entries in the tables."""
    study, numbers, _ = arms
    key = (next(cell.name for cell in study.complete if cell.arm == "joint"), "dice")
    estimate = {**numbers.estimate, key: {**numbers.estimate[key], **changed}}
    with styled():
        (drawn,) = plane.draw(study, replace(numbers, estimate=estimate))
    return drawn, key[0]


def test_without_an_interval_there_is_no_region(arms):
    drawn, name = held_to(arms, low=np.nan, high=np.nan, reliable=False)
    assert len(drawn.figure.axes[0].patches) == len(arms[2].figure.axes[0].patches) - 1
    rows = drawn.data[drawn.data["kind"] == "cell"].set_index("cell")
    region = ["auc_se", "dice_se", "auc_radius", "dice_radius", "correlation"]
    assert rows.loc[name, region].isna().all()
    assert rows.drop(index=name)[region].notna().all(axis=None)


def test_an_unreliable_region_is_dashed(arms):
    study, numbers, drawn = arms
    sure = {key: {**row, "reliable": True} for key, row in numbers.estimate.items()}
    sure = (study, replace(numbers, estimate=sure), drawn)
    for doubtful in (False, True):
        patches = held_to(sure, reliable=not doubtful)[0].figure.axes[0].patches
        assert [patch.get_linestyle() not in ("-", "solid") for patch in patches].count(
            True
        ) == int(doubtful)


def test_what_is_zoomed_is_framed(sweep):
    far, near = sweep[2].figure.axes[:2]
    (frame,) = [line for line in far.lines if len(line.get_xdata()) == 5]
    for data, limits in (
        (frame.get_xdata(), near.get_xlim()),
        (frame.get_ydata(), near.get_ylim()),
    ):
        assert (min(data), max(data)) == pytest.approx(limits)
    assert near.get_title("right") == "zoom on the frame of a"


def test_two_cells_have_no_matrix_and_one_point_no_front(arms):
    """The joint cell is better in both: a front of one point."""
    study, numbers, drawn = arms
    value = [[numbers.value(study.of_arm(arm)[0], m) for m in ("auc", "dice")] for arm in PAIR]
    assert np.greater(*value[::-1]).all()
    assert len(drawn.figure.axes) == 2
    assert not [line for line in drawn.figure.axes[1].lines if line.get_linestyle() == ":"]
    assert "front" not in drawn.caption
    assert "In the CSV: in how many of the resamples" in drawn.caption


def test_a_lone_cell_dominates_nobody(arms):
    study, numbers, _ = arms
    lone = replace(study, cells=tuple(c for c in study.cells if c.arm != "sequential"))
    (drawn,) = plane.draw(lone, numbers)
    assert "resamples the one" not in drawn.caption


def test_the_baselines_of_one_task_are_in_view(arms):
    study, numbers, drawn = arms
    near = drawn.figure.axes[1]
    for arm, metric, limits in (("cls", "auc", near.get_xlim()), ("seg", "dice", near.get_ylim())):
        cell = next(cell for cell in study.complete if cell.arm == arm)
        assert limits[0] < 100 * numbers.value(cell, metric) < limits[1]


def test_published_points_are_hollow_and_said_not_to_be_comparable(arms):
    figure = arms[2].figure
    others = [line for line in figure.axes[0].lines if "Le 2019" in str(line.get_label())]
    assert {line.get_markerfacecolor() for line in others} == {"white"}
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()][-2:] == [
        "Le 2019, not comparable (*: Mean Dice before the last stage)",
        "Le 2019, not comparable",
    ]
    assert "sequential*" in [text.get_text() for text in figure.axes[0].texts]


def test_text_is_large_enough_and_the_basis_is_stated(arms, sweep):
    for _, _, drawn in (arms, sweep):
        texts = [text for text in drawn.figure.findobj(Text) if text.get_text()]
        assert min(text.get_fontsize() for text in texts) >= 7
        assert "40 test patients, 80 cases; mean of 2 seeds; these trained models" in drawn.caption
        assert "200 resamples" in drawn.caption


def test_swept_cells_are_joined_in_the_order_of_the_value(sweep):
    study, numbers, drawn = sweep
    (path,) = [line for line in drawn.figure.axes[1].lines if len(line.get_xdata()) == 4]
    cells = study.of_arm("joint")
    assert [cell.values["loss.lambda"] for cell in cells] == ["0.1", "0.3", "0.5", "0.9"]
    expected = [[100 * numbers.value(cell, m) for m in ("auc", "dice")] for cell in cells]
    np.testing.assert_allclose(path.get_xydata(), expected)


def test_the_staircase_runs_through_the_undominated_points(written):
    study = read_study(written / "sweep")
    best = next(cell for cell in study.of_arm("joint") if cell.values["loss.lambda"] == "0.5")
    best.frame["score"] = 0.5  # it stays the best at segmentation alone
    drawn = draw_study(study)[2]
    (front,) = [line for line in drawn.figure.axes[1].lines if line.get_linestyle() == ":"]
    corners = front.get_xydata()[1:-1:2]
    table = drawn.data[drawn.data["kind"] == "cell"]
    value = 100 * table[["auc", "dice"]].to_numpy()
    best = value[~dominates(value[:, None]).any(axis=(0, 2))]
    assert len(best) > 1
    np.testing.assert_allclose(corners, best[np.argsort(best[:, 0])])
    assert "dotted: Pareto front of the values" in drawn.caption


def test_the_matrix_and_the_csv_say_the_same(sweep):
    study, _, drawn = sweep
    rows = drawn.data[drawn.data["kind"] == "dominance"].set_index(["cell", "other"])["p"]
    assert len(rows) == 4 * 3
    names = [cell.name for cell in study.of_arm("joint")]
    shown = {t.get_position(): t.get_text() for t in drawn.figure.axes[2].texts}
    for (one, other), p in rows.items():
        assert shown[names.index(other), names.index(one)] == f"{100 * p:.0f}"
    assert list(drawn.data["kind"].unique()) == ["cell", "seed", "published", "dominance"]


def test_many_cells_have_no_matrix(sweep_study, monkeypatch):
    monkeypatch.setattr(plane.dominance, "MOST_CELLS", 3)
    _, _, drawn = draw(sweep_study)
    assert len(drawn.figure.axes) == 2
    assert "In the CSV" in drawn.caption
    assert (drawn.data["kind"] == "dominance").sum() == 12


def test_names_beside_points_stay_in_their_panel(written):
    """With four keys a finalist's values would be written across the next panel."""
    _, _, drawn = draw(written / "search")
    near, names = drawn.figure.axes[1:]
    beside = [text for text in near.texts if text.get_text()]
    assert "trial 7" in [text.get_text() for text in beside]
    others = names.get_tightbbox()
    for text in beside:
        box = text.get_window_extent()
        assert box.x1 <= near.get_window_extent().x1
        assert not box.overlaps(others)
    rows = [label.get_window_extent() for label in names.get_yticklabels()]
    assert all(a.y0 > b.y1 for a, b in itertools.pairwise(rows))
    assert [label.get_text() for label in names.get_yticklabels()] == [
        "trial 2", "trial 5", "trial 7", "trial 11",
    ]  # fmt: skip


def test_arms_of_one_task_have_no_plane(written):
    study = read_study(written / "arms")
    cells = tuple(cell for cell in study.cells if cell.arm in ("cls", "seg"))
    study = replace(study, cells=cells)
    assert not list(plane.draw(study, measure(study)))
