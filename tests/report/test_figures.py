from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from mtlbench.metrics import auc
from mtlbench.report.collect import read_study
from mtlbench.report.figures import (
    calibration,
    cases,
    curves,
    differences,
    draw_all,
    ecdf,
    forest,
    froc,
    pr,
    roc,
    swarm,
    sweep,
)
from mtlbench.report.figures.style import styled
from mtlbench.report.numbers import measure

INTERVALS = (forest, differences, sweep, swarm)
MODULES = (*INTERVALS, roc, pr, calibration, froc, ecdf, curves, cases)


@pytest.fixture(scope="module")
def drawn(written):
    """Name → figure of both studies."""
    figures = {}
    with styled():
        for name in ("sweep", "arms"):
            study = read_study(written / name)
            numbers = measure(study)
            figures |= {d.name: d for module in MODULES for d in module.draw(study, numbers)}
    return figures


def test_text_is_at_least_7_points_and_captions_state_their_basis(drawn):
    assert len(drawn) == len(MODULES)
    for name, one in drawn.items():
        one.figure.draw_without_rendering()
        texts = [text for text in one.figure.findobj(Text) if text.get_text()]
        assert texts
        assert min(text.get_fontsize() for text in texts) >= 7
        assert one.figure.get_figwidth() in (3.5, 7.0)
        if name not in ("curves", "cases"):
            assert "40 test patients, 80 cases; " in one.caption
            assert "2 seeds; these trained models only" in one.caption
        if name.split("_")[0] in [module.__name__.rpartition(".")[2] for module in INTERVALS]:
            assert "; 95 % intervals by studentised" in one.caption


def test_forest_shows_the_estimates(drawn, written):
    study = read_study(written / "arms")
    numbers = measure(study)
    axis = drawn["forest"].figure.axes[0]
    points = [line.get_xdata()[0] for line in axis.lines if line.get_marker() == "o"]
    values = [numbers.value(cell, "auc") for cell in study.complete]
    assert points == pytest.approx([100 * value for value in values if value is not None])


def test_a_value_without_an_interval_is_hollow_with_its_reason(written):
    study = read_study(written / "arms")
    numbers = measure(study)
    row = numbers.estimate["joint", "auc"]
    row |= {"low": None, "high": None}
    reason = "too few patients"
    numbers = replace(numbers, warnings=(f"auc, joint: no interval: {reason}",))
    with styled():
        (drawn,) = forest.draw(study, numbers)
    points = [line for line in drawn.figure.axes[0].lines if line.get_marker() == "o"]
    faces = {line.get_ydata()[0]: line.get_markerfacecolor() for line in points}
    assert faces[4] == "white"
    assert faces[0] == points[0].get_color()
    assert f"; hollow dots: no interval ({reason});" in drawn.caption


def test_captions_do_not_tell_of_differences_that_are_not_drawn(written):
    study = read_study(written / "arms")
    warning = "auc, joint - cls: no interval: most resamples are equal"
    numbers = replace(measure(study), warnings=(warning,))
    with styled():
        (drawn,) = forest.draw(study, numbers)
    assert "no interval" not in drawn.caption


def test_a_difference_without_an_interval_is_hollow(written):
    study = read_study(written / "arms")
    numbers = measure(study)
    numbers.comparison["joint", "auc"].update(low=float("nan"), high=float("nan"))
    with styled():
        (drawn,) = differences.draw(study, numbers)
    dots = [line for line in drawn.figure.axes[0].lines if line.get_marker() == "o"]
    assert [line.get_markerfacecolor() == "white" for line in dots] == [False, True]
    assert "; hollow dots: no interval" in drawn.caption


def diamonds(axis):
    """Height → value of the published values in a panel."""
    marks = [line for line in axis.lines if line.get_marker() == "D"]
    assert {line.get_markerfacecolor() for line in marks} <= {"white"}  # not comparable
    return {line.get_ydata()[0]: line.get_xdata()[0] for line in marks}


def test_a_published_value_is_in_the_row_of_its_namesake_and_its_stage(drawn, written):
    """The Dice of Le's sequential is that of its first stage: never beside ours of the last."""
    figure, caption = drawn["forest"].figure, drawn["forest"].caption
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["cls", "seg", "sequential", "sequential (before stage cls)", "joint"]
    assert diamonds(figure.axes[0]) == pytest.approx({0.3: 80.54, 2.3: 81.37, 4.3: 84.02})
    assert diamonds(figure.axes[1]) == pytest.approx({1.3: 34.98, 3.3: 34.98, 4.3: 38.28})
    assert not any(map(diamonds, figure.axes[2:]))
    numbers = measure(read_study(written / "arms"))
    ours = {line.get_ydata()[0]: line.get_xdata()[0] for line in figure.axes[1].lines}
    assert ours[3] == pytest.approx(100 * numbers.before["sequential", "dice"]["value"])
    assert [t.get_text() for t in figure.legends[0].texts] == ["Le 2019, not comparable"]
    assert "grey, hollow: published values (Le 2019 cls, not comparable: " in caption


def test_a_published_value_without_a_counterpart_has_a_row_of_its_own(written):
    """Neither four cells of an arm nor a stage that was not measured is a namesake."""
    study = read_study(written / "arms")
    with styled():
        (drawn,) = forest.draw(study, replace(measure(study), before={}))
    names = [label.get_text() for label in drawn.figure.axes[0].get_yticklabels()]
    assert names[4:] == ["Le 2019: sequential, before the\nlast stage"]
    assert diamonds(drawn.figure.axes[1])[4] == pytest.approx(34.98)
    sweep = read_study(written / "sweep")
    rules = sweep.config.compare.model_copy(update={"choose": None})
    sweep = replace(sweep, config=sweep.config.model_copy(update={"compare": rules}))
    with styled():
        (drawn,) = forest.draw(sweep, measure(sweep))
    names = [label.get_text() for label in drawn.figure.axes[0].get_yticklabels()]
    assert "Le 2019: joint" in names
    assert "Le 2019: cls" not in names


def test_every_source_has_a_marker_of_its_own(arms_study):
    path = arms_study / "study.toml"
    path.write_text(path.read_text().replace('"le2019-table1"', '"le2019-table1", "lotter2017"'))
    study = read_study(arms_study)
    with styled():
        (drawn,) = forest.draw(study, measure(study))
    markers = {line.get_label(): line.get_marker() for line in drawn.figure.axes[0].lines}
    assert markers["Le 2019, not comparable"] == "D"
    assert markers["Lotter 2017, not comparable"] == "s"


def test_labels_of_metrics_have_as_many_lines(drawn):
    for name in ("forest", "swarm"):
        lines = [axis.get_xlabel().count("\n") for axis in drawn[name].figure.axes]
        assert lines == [1] * 5


def test_a_spike_leaves_the_axes_and_the_caption_says_so(arms_study):
    study = read_study(arms_study)
    run = next(cell for cell in study.complete if cell.arm == "cls").runs[0]
    path = run.folder.path / "history.csv"
    history = pd.read_csv(path)
    usual = history["val_loss_cls"].max()
    history.loc[2, "val_loss_cls"] = 50
    history.to_csv(path, index=False)
    record = run.folder.record()
    run.folder.write_record(
        record | {"files": record["files"] | run.folder.describe(["history.csv"])}
    )
    study = read_study(arms_study)
    with styled():
        (drawn,) = curves.draw(study, measure(study))
    assert usual < drawn.figure.axes[1].get_ylim()[1] < 25
    assert drawn.caption.endswith("leave the axes of (a, b).")
    assert drawn.data["val_loss_cls"].max() == 50


def test_a_high_first_epoch_leaves_the_axes():
    """0.9 in the first of six epochs, then 0.25 to 0.2: the axis ends at the quantile of those."""
    columns = ["loss_cls", "val_loss_cls"]
    history = pd.DataFrame({"epoch": range(1, 7), "loss_cls": [0.9, *np.linspace(0.25, 0.2, 5)]})
    history = history.assign(val_loss_cls=history["loss_cls"])
    axis = Figure().subplots()
    assert curves._cut(axis, {"cls": history}, curves.PANELS[:2])
    low, high = axis.get_ylim()
    usual = np.quantile(np.repeat(np.linspace(0.25, 0.2, 5), 2), 0.99)
    assert (low, high) == pytest.approx((0.2 - 0.05 * (usual - 0.2), usual + 0.05 * (usual - 0.2)))
    gentle = history.assign(**dict.fromkeys(columns, np.linspace(0.28, 0.2, 6)))
    assert not curves._cut(axis, {"cls": gentle}, curves.PANELS[:2])
    alone = history[:1]
    assert not curves._cut(axis, {"cls": alone}, curves.PANELS[:2])


def test_folds_of_unequal_length_are_averaged_by_epoch():
    history = pd.DataFrame(
        {
            "run": ["a", "a", "b", "b"],
            "epoch": [1, 2, 1, 2],
            "step": [8, 16, 9, 18],
            "loss_cls": [0.8, 0.4, 0.6, 0.2],
        }
    )
    mean = curves._mean(history, ["loss_cls"])
    assert mean["step"].tolist() == [8.5, 17]
    assert mean["loss_cls"].tolist() == pytest.approx([0.7, 0.3])


def test_the_caption_of_differences_names_their_own_scale(drawn, written):
    methods = measure(read_study(written / "arms")).comparisons["method"].dropna().unique()
    assert "logit" in drawn["forest"].caption
    assert not any("logit" in method for method in methods)
    assert "logit" not in drawn["differences"].caption


def test_data_are_what_is_drawn(drawn, written):
    data = drawn["forest"].data.dropna(subset=["arm"])
    axis = drawn["forest"].figure.axes[0]
    points = [line.get_xdata()[0] for line in axis.lines if line.get_marker() == "o"]
    aucs = 100 * data.loc[data["metric"] == "auc", "value"]
    assert points == pytest.approx(list(aucs))
    published = drawn["forest"].data.query("cell == 'joint' and arm.isna()").set_index("metric")
    assert published.loc["auc", "value"] == 0.8402
    assert published.loc["auc", "source"].startswith("Le 2019, not comparable: ")
    swept = drawn["sweep_loss_lambda"].data.query("metric == 'auc' and cell.str.contains('0.3')")
    means, seeds = swept[swept["seed"].isna()], swept[swept["seed"].notna()]
    assert means["value"].item() == pytest.approx(seeds["value"].mean())
    assert seeds["low"].isna().all()
    run = read_study(written / "arms").of_arm("cls")[0].runs[0]
    steps = drawn["curves"].data.query("run == @run.folder.name")
    assert steps["val_auc"].tolist() == run.history()["val_auc"].tolist()


def test_a_margin_is_a_dashed_line(arms_study):
    path = arms_study / "study.toml"
    path.write_text(
        path.read_text().replace("[compare]\n", "[compare]\nmargins = { auc = 0.05 }\n")
    )
    study = read_study(arms_study)
    with styled():
        (drawn,) = differences.draw(study, measure(study))
    dashed = [
        [line.get_xdata()[0] for line in axis.lines if line.get_linestyle() == "--"]
        for axis in drawn.figure.axes
    ]
    assert dashed == [[-5], [], [], [], []]
    assert "dashed: margin of non-inferiority" in drawn.caption


def test_sweep_runs_through_the_estimates_in_order(drawn, written):
    study = read_study(written / "sweep")
    numbers = measure(study)
    line = next(
        line
        for line in drawn["sweep_loss_lambda"].figure.axes[0].lines
        if line.get_label() == "joint"
    )
    assert list(line.get_xdata()) == [0.1, 0.3, 0.5, 0.9]
    expected = [100 * numbers.value(cell, "auc") for cell in study.of_arm("joint")]
    np.testing.assert_allclose(line.get_ydata(), expected)


def test_seed_values_are_the_metric_of_each_seed(written):
    study = read_study(written / "sweep")
    cell = study.of_arm("cls")[0]
    expected = [
        auc(part["label"].to_numpy(), part["score"].to_numpy())
        for _, part in cell.frame.groupby("seed")
    ]
    assert measure(study).seeds[cell.name, "auc"] == pytest.approx(tuple(expected))


def test_files_are_what_journals_ask_for(written, tmp_path):
    study, folder = read_study(written / "arms"), tmp_path / "figures"
    draw_all(study, measure(study), folder, images=True)
    assert len(list(folder.glob("*.pdf"))) == 11
    for path in folder.glob("*.pdf"):
        assert not pd.read_csv(path.with_suffix(".csv")).empty
        assert b"/Type3" not in path.read_bytes()
        assert b"CreationDate" not in path.read_bytes()
    with Image.open(folder / "forest.png") as image:
        assert image.width == 2100
        assert image.info["dpi"][0] == pytest.approx(300, abs=0.1)
    assert "<dc:date>" not in (folder / "forest.svg").read_text()


def test_p_stays_within_its_panel(written):
    """Differences at the edges of their panels, where a centred label would leave them."""
    study = read_study(written / "arms")
    numbers = measure(study)
    for i, row in enumerate(numbers.comparison.values()):
        edge = 0.3 * (-1) ** i
        row |= {"difference": edge, "low": min(edge, 0), "high": max(edge, 0), "p_adjusted": 0.5}
    with styled():
        (drawn,) = differences.draw(study, numbers)
        drawn.figure.draw_without_rendering()
    for axis in drawn.figure.axes:
        panel = axis.get_window_extent()
        for text in axis.texts:
            box = text.get_window_extent()
            assert panel.x0 <= box.x0
            assert box.x1 <= panel.x1


@pytest.mark.parametrize("reliable", [True, False])
def test_every_p_is_written_or_called_not_reliable(written, reliable):
    study = read_study(written / "arms")
    numbers = measure(study)
    for row in numbers.comparison.values():
        row |= {"p_adjusted": 0.25, "reliable": reliable}
    with styled():
        (drawn,) = differences.draw(study, numbers)
    texts = [text.get_text() for axis in drawn.figure.axes for text in axis.texts]
    assert texts == ["p = 0.250" if reliable else "p n.r."] * 10  # two arms, five metrics
    assert ("; p n.r.: not reliable" in drawn.caption) == (not reliable)


def test_a_missing_p_is_not_drawn_and_percent_starts_at_zero(arms_study):
    path = arms_study / "study.toml"
    path.write_text(path.read_text().replace('published = ["le2019-table1"]', ""))
    study = read_study(arms_study)
    numbers = measure(study)
    for row in numbers.comparison.values():
        row["p_adjusted"] = float("nan")
    for (_, metric), row in numbers.estimate.items():
        if metric == "dice" and row["value"] == row["value"]:
            row |= {"value": 0.0, "low": float("nan"), "high": float("nan")}
    with styled():
        (paired,) = differences.draw(study, numbers)
        assert not [text for axis in paired.figure.axes for text in axis.texts]
        (values,) = forest.draw(study, numbers)
    axis = next(a for a in values.figure.axes if a.get_xlabel().startswith("Mean"))
    assert axis.get_xlim() == (0, 1)
