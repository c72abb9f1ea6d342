import csv
import random

import pytest

from mtlbench.study.search.finalists import hypervolume

SAMPLERS = ["tpe", "gp", "nsga2", "nsga3", "qmc", "random"]


TWO = 'objective = ["val.auc", "val.dice"]'


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("pruner", ["none", "median"])
def test_the_front_of_two_objectives_is_that_of_brute_force(hunt, sampler, pruner):
    lines = f'{TWO}\nsampler = "{sampler}"\npruner = "{pruner}"\ntrials = 20\nfinalists = 3'
    make, driver = hunt(lines, in_memory=True)
    search = make()
    driver.run(search, slots=4)
    complete = [row for row in driver.trials() if row["state"] == "complete"]
    points = [(float(row["val.auc"]), float(row["val.dice"])) for row in complete]
    front = {
        row["trial"]
        for row, p in zip(complete, points, strict=True)
        if not any(q != p and q[0] >= p[0] and q[1] >= p[1] for q in points)
    }
    with (driver.folder / "pareto.csv").open(newline="") as stream:
        assert {row["trial"] for row in csv.DictReader(stream)} == front
    chosen = [str(cell.trial) for cell in search.finalists()]
    assert set(chosen) <= front
    assert len(chosen) == min(3, len(front))
    worst = tuple(min(column) for column in zip(*points, strict=True))
    single = {
        row["trial"]: hypervolume([p], worst) for row, p in zip(complete, points, strict=True)
    }
    assert single[chosen[0]] == max(single.values())


def test_hypervolume_is_the_area_counted_by_points():
    rng = random.Random(0)
    points = [(rng.random(), rng.random()) for _ in range(6)]
    n = 400
    inside = sum(
        any(x > (i + 0.5) / n and y > (j + 0.5) / n for x, y in points)
        for i in range(n)
        for j in range(n)
    )
    assert hypervolume(points, (0.0, 0.0)) == pytest.approx(inside / n**2, abs=5e-3)
