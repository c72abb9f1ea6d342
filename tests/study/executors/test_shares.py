import pytest

from mtlbench.config import ResourcesConfig
from mtlbench.errors import StudyError
from mtlbench.study.executors.shares import seen_devices, shares


def test_an_actor_s_devices_are_numbered_from_0():
    assert seen_devices(("cuda:2", "cuda:5")) == ("cuda:0", "cuda:1")
    assert seen_devices(("cpu", "cpu")) == ("cpu", "cpu")


def test_slots_share_what_the_cluster_has():
    def share(places, *nodes, threads=1):
        nodes = [dict(zip(("CPU", "GPU"), node, strict=True)) for node in nodes]
        found = shares(places, ResourcesConfig(threads=threads), nodes)
        assert len({tuple(one.values()) for one in found}) == 1
        return tuple(found[0].values())

    assert share([("cpu",)] * 2, (8, 0), threads=3) == (3, 0)
    assert share([("cpu", "cpu")], (8, 0), threads=3) == (6, 0)
    assert share([("cpu",)] * 2, (8, 0), threads=6) == (4, 0), "both at once"
    assert share([("cpu",)] * 3, (3, 0), (3, 0), threads=2) == (1, 0), "on whole machines"
    assert share([("cpu",)] * 5, (2, 0)) == (1 / 3, 0)
    assert share([("cuda:0",), ("cuda:1",)], (8, 2)) == (1, 1)
    assert share([("cuda:0", "cuda:1")], (8, 2)) == (2, 2)
    assert share([("cuda:0",)] * 2, (8, 1)) == (1, 0.5)
    assert 3 * share([("cuda:0",)] * 3, (8, 1))[1] <= 1
    with pytest.raises(StudyError, match="must have 2 GPUs, but has 1"):
        share([("cuda:0",), ("cuda:1",)], (8, 1))
