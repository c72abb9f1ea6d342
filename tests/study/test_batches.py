import pytest
import torch

from mtlbench.config import load_study
from mtlbench.study import batches
from mtlbench.study.cells import expand
from mtlbench.study.data import load_data
from mtlbench.study.design import build_design
from mtlbench.training import rehearsal

ROOM = 20
SEARCHED = (
    ('name = "tiny"', 'name = "tiny"\nkind = "search"'),
    ("[budget]", "[search]\ntrials = 5\n[budget]"),
    (
        'name = "joint"\nset = { strategy = "joint" }',
        'name = "joint"\nset = { strategy = "joint" }\n[arms.search]\n'
        '"model.output_stride" = [8, 16, 32]',
    ),
)


@pytest.fixture
def rehearsed(study_file, monkeypatch):
    """Rehearse the tiny study, with replacements, on a GPU with room for 20 cases."""

    def step(config, size, cases, device):
        assert size == (32, 24)
        if cases > ROOM:
            raise torch.OutOfMemoryError("CUDA out of memory")
        stage = config["stages"][-1]
        return (0.25 + cases / 64) * (1 + (stage["cls_weight"] > 0) + (stage["seg_weight"] > 0))

    def rehearse(*replacements, device="cuda"):
        study = load_study(study_file(*replacements))
        data = load_data(study, {})
        return batches.rehearse_batches(
            study, data, build_design(study, expand(study), data), device
        )

    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.setattr(rehearsal, "step_s", step)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(batches, "free_memory", lambda device: 0)
    monkeypatch.setattr(batches, "choose_gather", lambda *_: (None, ""))
    return rehearse


def test_the_largest_batch_stands_beside_the_stated_one_for_each_model(rehearsed):
    """All arms share one model; a step of both heads takes 3 · (1/4 + cases / 64) s."""
    (row,) = rehearsed()
    model = {"backbone": "small", "output_stride": 8}
    speeds = {"cases": 8, "cases_per_s": 7.1, "largest": 16, "largest_cases_per_s": 10.7}
    assert row == model | speeds
    assert batches.describe([row]) == [
        "small at output stride 8: 8 cases at a time as stated, 7.1 a second; 16 fit, 10.7 a second"
    ]


def test_parts_and_devices_are_what_is_computed_at_a_time(rehearsed):
    (row,) = rehearsed(
        ("batch_size = 8", "batch_size = 8\naccumulate = 2"),
        ("[budget]", "[resources]\ngpus_per_run = 2\n[budget]"),
    )
    assert row["cases"] == 2


def test_what_does_not_fit_is_said(rehearsed, monkeypatch):
    monkeypatch.setitem(globals(), "ROOM", 4)
    (row,) = rehearsed()
    assert (row["cases_per_s"], row["largest"]) == (None, 4)
    monkeypatch.setitem(globals(), "ROOM", 0)
    (row,) = rehearsed()
    assert batches.describe([row])[0].endswith(
        "8 cases at a time as stated, do not fit; not even one fits"
    )


def test_a_search_counts_with_the_middle_of_its_space(rehearsed):
    assert [row["output_stride"] for row in rehearsed(*SEARCHED)] == [8, 16]


def test_a_cpu_is_not_asked(rehearsed):
    assert rehearsed(device="cpu") == []
