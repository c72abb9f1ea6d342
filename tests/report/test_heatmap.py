import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from mtlbench.report.collect import read_study
from mtlbench.report.figures import heatmap
from mtlbench.report.figures.style import styled
from mtlbench.report.numbers import measure
from mtlbench.report.text import percent

POINTS = {"0.1": ("0.1", "0.01"), "0.3": ("0.1", "0.001"), "0.5": ("0.9", "0.001")}
"""λ of the sweep's runs → λ and learning rate of the grid: its fourth corner is missing."""


def write_grid(folder, rest=None):
    """The sweep's runs as points of two keys, or of three with the values in `rest`."""
    table = pd.read_csv(folder / "cells.csv", dtype=str, keep_default_na=False)
    table = table[table["loss.lambda"] != "0.9"]
    grid = table["loss.lambda"].map(lambda value: POINTS.get(value, ("", "")))
    table["loss.lambda"] = [one for one, _ in grid]
    keys = {"loss.lambda": ["0.1", "0.9"], "optim.lr": ["0.01", "0.001"]}
    table.insert(3, "optim.lr", [two for _, two in grid])
    if rest:
        keys["optim.batch_size"] = ["8", "16"]
        joint = table["arm"] == "joint"
        table.insert(4, "optim.batch_size", np.where(joint, [*rest, *rest][: len(table)], ""))
    for i, row in table.iterrows():
        values = ", ".join(f"{key}={row[key]}" for key in keys)
        table.loc[i, "cell"] = f"joint [{values}]" if row["arm"] == "joint" else row["arm"]
    table.to_csv(folder / "cells.csv", index=False)
    toml = (folder / "study.toml").read_text()
    vary = ", ".join(f'"{key}" = [{", ".join(values)}]' for key, values in keys.items())
    (folder / "study.toml").write_text(
        toml.replace('vary = { "loss.lambda" = [0.1, 0.3, 0.5, 0.9] }', f"vary = {{ {vary} }}")
    )
    return folder


def draw(folder):
    study = read_study(folder)
    numbers = measure(study)
    with styled():
        figures = list(heatmap.draw(study, numbers))
        for drawn in figures:
            drawn.figure.draw_without_rendering()
    return study, numbers, figures


def test_each_value_stands_at_its_place(sweep_study):
    study, numbers, (drawn,) = draw(write_grid(sweep_study))
    assert drawn.name == "heatmap_joint"
    for axis, metric in zip(drawn.figure.axes, heatmap.SHOWN, strict=False):
        assert [t.get_text() for t in axis.get_xticklabels()] == ["0.1", "0.9"]
        assert [t.get_text() for t in axis.get_yticklabels()] == ["0.001", "0.01"]
        shown = {text.get_position(): text.get_text() for text in axis.texts}
        for cell in study.of_arm("joint"):
            one, two = cell.values["loss.lambda"], cell.values["optim.lr"]
            at = ["0.1", "0.9"].index(one), ["0.001", "0.01"].index(two)
            assert shown[at] == percent(numbers.value(cell, metric))
        assert shown[1, 1] == "–"


def test_the_chosen_cell_is_framed(sweep_study):
    study, _, (drawn,) = draw(write_grid(sweep_study))
    chosen = study.representative("joint")
    at = ["0.1", "0.9"].index(chosen.values["loss.lambda"])
    (frame,) = [p for p in drawn.figure.axes[0].patches if isinstance(p, Rectangle)]
    assert frame.get_x() == pytest.approx(at - 0.46)
    assert "the cell that val.auc chooses" in drawn.caption
    rows = drawn.data[drawn.data["chosen"]]
    assert set(rows["cell"]) == {chosen.name}
    assert {"metric", "value", "low", "high", "loss.lambda", "optim.lr"} <= set(drawn.data)


def test_a_third_key_has_a_panel_for_each_value(sweep_study, monkeypatch):
    write_grid(sweep_study, rest=["8", "8", "8", "16", "16"])
    study, _, (drawn,) = draw(sweep_study)
    rest = list(dict.fromkeys(c.values["optim.batch_size"] for c in study.of_arm("joint")))
    labels = [axis.get_ylabel() for axis in drawn.figure.axes[: 3 * len(rest) : 3]]
    assert labels == [f"batch_size={value}\nlr" for value in rest]
    assert len(drawn.data) == 3 * len(study.of_arm("joint"))
    monkeypatch.setattr(heatmap, "MOST_GRIDS", 1)
    names = [one.name for one in draw(sweep_study)[2]]
    assert names == ["heatmap_joint_1", "heatmap_joint_2"]


def test_numbers_are_readable_on_every_colour():
    """WCAG 2: contrast of at least 4.5 for text, of luminances in linear light."""
    for level in np.linspace(0, 1, 101):
        rgb = np.array(mpl.colormaps[heatmap.MAP](level)[:3])
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        luminance = linear @ [0.2126, 0.7152, 0.0722]
        text = {"white": 1.0, "black": 0.0}[heatmap._readable(level)]
        light, dark = max(text, luminance), min(text, luminance)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_one_key_is_no_grid(written):
    assert not draw(written / "sweep")[2]
