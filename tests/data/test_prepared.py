import json

import numpy as np
import pytest
from PIL import Image

from mtlbench.config import DataConfig
from mtlbench.data.prepare import prepare
from mtlbench.data.prepared import open_prepared, recipe_digest
from mtlbench.errors import DataError


@pytest.fixture
def out(small_folder, tmp_path):
    return prepare("folder", small_folder, DataConfig(size=(20, 15)), tmp_path / "out").root


def test_tables_keep_their_types(out):
    prepared = open_prepared(out, verify=True)
    assert prepared.cases["label"].dtype == "Int64"
    assert prepared.cases["patient_id"].tolist()[:2] == ["p0", "p0"]
    assert prepared.cases["split"].tolist() == [""] * 12
    assert prepared.lesions["class"].tolist() == [2, 3, 1, 2, 4, 1, 3, 4]
    assert prepared.lesions["area_mm2"].tolist() == [25.0] * 8
    assert not prepared.images.flags.writeable


@pytest.mark.parametrize("name", ["images.npy", "masks.npy", "cases.csv", "excluded.csv"])
def test_missing_and_cut_files(out, name):
    path = out / name
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(DataError, match=f"{name}: must have {len(content)} bytes, but has"):
        open_prepared(out)
    path.unlink()
    with pytest.raises(DataError, match=f"{name}: no such file"):
        open_prepared(out)


def test_changed_bytes_are_found_on_request(out):
    path = out / "images.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    open_prepared(out)
    with pytest.raises(DataError, match=r"images.npy: SHA-256 must be"):
        open_prepared(out, verify=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 99}, "schema must be 2, but got 99: prepare the data again"),
        ({"n": 11}, "cases.csv: must have 11 rows as recipe.json says, but has 12"),
        ({"size": [15, 20]}, r"images.npy: must be uint8 of shape \(12, 15, 20\)"),
        ({"dtype": "uint16"}, "images.npy: must be uint16"),
    ],
)
def test_recipe_must_agree(out, changes, message):
    recipe = json.loads((out / "recipe.json").read_text())
    (out / "recipe.json").write_text(json.dumps(recipe | changes))
    with pytest.raises(DataError, match=message):
        open_prepared(out)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": 1', '{"schema": 1}'])
def test_damaged_recipe(out, content):
    (out / "recipe.json").write_text(content)
    with pytest.raises(DataError, match=r"recipe.json: must be the recipe"):
        open_prepared(out)


def test_no_folder(tmp_path):
    with pytest.raises(DataError, match=r"recipe.json: must be the recipe"):
        open_prepared(tmp_path / "nowhere")


def test_recipe_digest_follows_contents_only(out, small_folder, tmp_path):
    recipe = open_prepared(out).recipe
    moved = prepare("folder", small_folder, DataConfig(size=(20, 15)), tmp_path / "other").recipe
    assert recipe_digest(moved | {"version": "9"}) == recipe_digest(recipe)
    path = next((small_folder / "images").iterdir())
    content = np.zeros((40, 30), dtype=np.uint8)
    Image.fromarray(content).save(path)
    changed = prepare("folder", small_folder, DataConfig(size=(20, 15)), tmp_path / "new").recipe
    assert recipe_digest(changed) != recipe_digest(recipe)
