"""What the ranks of a run share: losses, gradients, statistics and batches; here two processes."""

import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from mtlbench.config import AugmentConfig, ModelConfig
from mtlbench.data.resident import Cohort
from mtlbench.errors import StudyError
from mtlbench.models.batch_norm import share_batch_norms
from mtlbench.models.network import build_model
from mtlbench.training.ranks import ALONE

SCRIPT = Path(__file__).with_name("one_of_two.py")


@pytest.fixture(scope="module")
def script():
    spec = spec_from_file_location("one_of_two", SCRIPT)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def of_two(tmp_path_factory):
    """What both ranks of the script found."""
    folder = tmp_path_factory.mktemp("of_two")
    ranks = [
        subprocess.Popen(
            [sys.executable, SCRIPT, folder],
            env=os.environ | {"RANK": str(index), "WORLD_SIZE": "2"},
        )
        for index in range(2)
    ]
    assert [rank.wait(timeout=600) for rank in ranks] == [0, 0]
    return [load_file(folder / f"{index}.safetensors") for index in range(2)]


def table(found, name):
    return {k.removeprefix(f"{name}/"): v for k, v in found.items() if k.startswith(f"{name}/")}


def far_apart(found, expected):
    """The largest difference of two tables, relative to the largest value of its tensor."""
    assert found.keys() == expected.keys()
    return max(
        float((found[k] - v).abs().max() / v.abs().max().clamp(min=1e-9))
        for k, v in expected.items()
    )


@pytest.mark.parametrize("name", ["mixed", "one-sided"])
def test_losses_gradients_and_statistics_are_those_of_the_whole_batch(script, of_two, name):
    expected = script.step(script.whole_batch(script.LABELLED[name]), ALONE)
    for found in of_two:
        assert far_apart(table(found, name), expected) < 1e-4
        assert far_apart(table(found, f"{name}-apart"), expected) > 0.05
        assert torch.equal(table(found, name)["losses"], table(of_two[0], name)["losses"])


@pytest.mark.parametrize("name", ["mixed", "one-sided"])
def test_gradients_of_parts_add_up_to_those_of_the_whole_batch(script, of_two, name):
    expected = script.step_in_parts(script.whole_batch(script.LABELLED[name]), ALONE, 1)
    for found in of_two:
        assert far_apart(table(found, f"{name}-parts"), expected) < 1e-4


def test_a_batch_without_annotations_has_no_loss_and_no_gradient(script, of_two):
    for found in of_two:
        gradients = {n for n, _ in build_model(ModelConfig(backbone="small"), 0).named_parameters()}
        values = table(found, "none")
        assert values["losses"].abs().max() == 0
        assert all(values[n].abs().max() == 0 for n in gradients)


def test_a_head_that_is_not_computed_gets_no_gradient(script, of_two):
    expected = script.step(script.whole_batch(script.LABELLED["mixed"]), ALONE, 1.0, 0.0)
    assert not any(name.startswith("s_net") for name in expected)
    for found in of_two:
        assert far_apart(table(found, "mixed-cls"), expected) < 1e-4


def test_batch_norm_is_that_of_torch_on_the_whole_batch(script, of_two):
    """In float64; the mean is a hundred times the deviation."""
    whole = script.far_from_zero().double()
    expected = script.normalise(nn.BatchNorm2d(4).double(), whole)
    found = [[rank[f"norm/{i}"].double() for i in range(5)] for rank in of_two]
    close = {"rtol": 1e-4, "atol": 1e-4}
    for i in (0, 1):
        torch.testing.assert_close(torch.cat([rank[i] for rank in found]), expected[i], **close)
    for i in (2, 3):
        torch.testing.assert_close(found[0][i] + found[1][i], expected[i], rtol=1e-4, atol=1e-3)
    for rank in found:
        torch.testing.assert_close(rank[4], expected[4], **close)


def test_a_shared_batch_norm_takes_the_place_of_the_plain_one_only():
    model = build_model(ModelConfig(backbone="small"), 0)
    before, parameters = list(model.state_dict()), list(model.parameters())
    share_batch_norms(model)
    assert list(model.state_dict()) == before
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    with pytest.raises(StudyError, match=r"resources\.gpus_per_run must be 1 .* BatchNorm3d"):
        share_batch_norms(nn.Sequential(nn.BatchNorm3d(2)))


@pytest.mark.parametrize("batch_size", [4, 5, 7])
def test_the_parts_of_a_batch_are_its_cases_with_the_same_augmentation(
    prepared, cases, cohort, batch_size
):
    """Three ranks: sizes differ by one at most."""
    asked = (1, 3, batch_size, AugmentConfig(), range(1))
    whole = next(cohort.train_batches(*asked))
    device = torch.device("cpu")
    cohorts = [Cohort(prepared, cases["split"], device, part=(i, 3)) for i in range(3)]
    parts = [next(part.train_batches(*asked)) for part in cohorts]
    assert [c for part in parts for c in part.case_B] == whole.case_B.tolist()
    assert torch.equal(torch.cat([part.image_B1HW for part in parts]), whole.image_B1HW)
    assert torch.equal(torch.cat([part.mask_BHW for part in parts]), whole.mask_BHW)
    sizes = [len(part.case_B) for part in parts]
    assert max(sizes) - min(sizes) <= 1
