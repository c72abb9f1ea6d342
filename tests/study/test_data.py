import os

import numpy as np
import pytest

from mtlbench.config import load_study
from mtlbench.data import prepared
from mtlbench.errors import DataError, StudyError
from mtlbench.records import file_sha256
from mtlbench.study.data import load_data


def test_a_split_that_holds_nobody_is_refused(study_file):
    study = load_study(study_file(("patients = 24", "patients = 2")))
    with pytest.raises(DataError, match=r"must each hold a patient, but val holds none of the 2"):
        load_data(study, {})


def test_a_data_set_that_is_read_needs_a_folder_that_exists(study_file, tmp_path):
    study = load_study(study_file(('dataset = "phantom"', 'dataset = "mias"')))
    with pytest.raises(StudyError, match=r"--data mias=DIR or MTLBENCH_DATA_MIAS"):
        load_data(study, {})
    with pytest.raises(DataError, match="nowhere: the folder of data set 'mias' must exist"):
        load_data(study, {"mias": tmp_path / "nowhere"})


@pytest.mark.parametrize("name", ["fantom", "phantom"])
def test_a_folder_that_the_study_does_not_ask_for_is_refused(study_file, tmp_path, name):
    with pytest.raises(StudyError, match="--data: "):
        load_data(load_study(study_file()), {name: tmp_path})


def test_the_environment_names_a_folder(study_file, tmp_path, monkeypatch):
    study = load_study(study_file(('dataset = "phantom"', 'dataset = "mias"')))
    monkeypatch.setenv("MTLBENCH_DATA_MIAS", str(tmp_path / "elsewhere"))
    with pytest.raises(DataError, match="elsewhere"):
        load_data(study, {})


def test_a_damaged_cache_is_made_again(study_file):
    study = load_study(study_file())
    first = load_data(study, {})
    (first.prepared.root / "images.npy").write_bytes(b"")
    again = load_data(study, {})
    assert again.identity == first.identity
    assert (again.prepared.images == again.prepared.images.copy()).all()


def test_pixels_that_were_written_to_are_found_by_their_hash(study_file):
    study = load_study(study_file())
    first = load_data(study, {})
    path = first.prepared.root / "images.npy"
    pixels = first.prepared.images.copy()
    damaged = np.load(path, mmap_mode="r+")
    damaged[:] = 255 - damaged
    damaged.flush()
    os.utime(path)
    again = load_data(study, {})
    assert np.array_equal(again.prepared.images, pixels)


def test_sound_pixels_with_a_new_time_are_hashed_once(study_file, monkeypatch):
    study, hashed = load_study(study_file()), []
    first = load_data(study, {})
    monkeypatch.setattr(
        prepared, "file_sha256", lambda path: hashed.append(path.name) or file_sha256(path)
    )
    load_data(study, {})
    assert not hashed
    os.utime(first.prepared.root / "masks.npy")
    load_data(study, {})
    assert hashed == list(prepared.FILES)
    load_data(study, {})
    assert hashed == list(prepared.FILES)


def test_the_identity_of_a_split_is_who_is_where(study_file):
    one = load_data(load_study(study_file()), {})
    other = load_data(
        load_study(study_file(("patients = 24", "patients = 24\nsplit_seed = 1"))), {}
    )
    assert one.identity == other.identity
    assert one.split_identity["members"] != other.split_identity["members"]
