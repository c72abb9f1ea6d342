import pytest

from mtlbench.errors import StudyError
from mtlbench.study.shipped import find_study, init_study, shipped


def test_a_shipped_study_is_copied_once(tmp_path):
    target = init_study("quickstart", tmp_path)
    assert target == tmp_path / "quickstart.toml"
    assert target.read_bytes() == shipped()["quickstart"].read_bytes()
    with pytest.raises(StudyError, match=r"quickstart\.toml: must not exist yet"):
        init_study("quickstart", tmp_path)


def test_only_a_shipped_study_is_copied(tmp_path):
    file = init_study("quickstart", tmp_path)
    with pytest.raises(StudyError, match=r"must be one of the shipped studies .*quickstart"):
        init_study(str(file), tmp_path)
    assert list(tmp_path.iterdir()) == [file]


def test_a_study_is_found_by_path_or_name(tmp_path):
    file = init_study("quickstart", tmp_path)
    assert find_study(str(file)) == file
    assert find_study("table1") == shipped()["table1"]
    with pytest.raises(StudyError, match="must be a study file or one of the shipped studies"):
        find_study("table9")
