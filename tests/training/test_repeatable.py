"""What is set for a GPU; here its switches alone, since setting them needs none."""

import warnings

import pytest
import torch

from mtlbench.training.repeatable import repeatable

CUDA, CPU = torch.device("cuda"), torch.device("cpu")


@pytest.fixture(autouse=True)
def _variable(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")


def switches():
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
    )


def put():
    """An operation without a deterministic form, on any device."""
    torch.zeros(3).put_(torch.tensor([0]), torch.tensor([1.0]))


@pytest.mark.parametrize("wanted", [True, False])
def test_switches_hold_within_and_are_put_back(wanted, monkeypatch):
    before = switches()
    with repeatable(CUDA, wanted):
        assert switches() == (wanted, wanted, not wanted)
        if wanted:
            assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert switches() == before == (False, False, False)


def test_an_operation_without_a_deterministic_form_is_named(recwarn):
    with repeatable(CUDA, True) as found:
        torch.ones(3).sum()
        assert found == set()
        put()
        put()
        warnings.warn("another", stacklevel=1)
    assert found == {"put_"}
    assert [str(warning.message) for warning in recwarn] == ["another"]
    with repeatable(CUDA, True) as again:  # torch warns anew in each run of a process
        put()
    assert again == {"put_"}


def test_what_is_not_asked_for_and_a_cpu_are_left_alone():
    with repeatable(CUDA, False) as found:
        put()
    assert found == set()
    before = switches()
    with repeatable(CPU, True) as found:
        assert switches() == before
        put()
    assert found == set()
