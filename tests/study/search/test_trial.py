import pytest

from mtlbench.study.search.trial import Runs


@pytest.mark.parametrize("damage", [None, b"stage,epo\nx,y\0\n"])
def test_a_run_without_a_readable_history_has_no_epochs(tmp_path, damage):
    """A pruned run's is heard at each start, and no hash of it is kept."""
    path = tmp_path / "runs" / "x" / "history.csv"
    path.parent.mkdir(parents=True)
    if damage is not None:
        path.write_bytes(damage)
    assert Runs(tmp_path, 0).history("x") == []
