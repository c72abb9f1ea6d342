import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mtlbench.config import DataConfig
from mtlbench.data.convert import convert
from mtlbench.data.outlines import MaskFile
from mtlbench.data.pixels import read_image
from mtlbench.data.prepare import prepare, recipe_key
from mtlbench.data.prepared import FILES, open_prepared
from mtlbench.errors import DataError, StudyError

CONFIG = DataConfig(size=(20, 15))
NATIVE = DataConfig(size=(40, 30))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_same_size_keeps_pixels_and_masks(small_folder, tmp_path):
    prepared = prepare("folder", small_folder, NATIVE, tmp_path / "out")
    assert prepared.images.shape == prepared.masks.shape == (12, 40, 30)
    for row, case in prepared.cases.iterrows():
        turned = slice(None, None, -1 if case["flipped"] else 1)
        image = read_image(small_folder / case["path"])[:, turned]
        mask = read_image(small_folder / "masks" / f"{case['image_id']}.png")[:, turned]
        np.testing.assert_array_equal(prepared.images[row], image)
        np.testing.assert_array_equal(prepared.masks[row], mask)


def test_bytes_do_not_depend_on_jobs(small_folder, tmp_path):
    progress = []
    one = prepare("folder", small_folder, CONFIG, tmp_path / "one")
    two = prepare(
        "folder", small_folder, CONFIG, tmp_path / "two", 2, lambda *at: progress.append(at)
    )
    assert contents(one.root) == contents(two.root)
    assert progress == [(done, 12) for done in range(1, 13)]


def test_recipe_says_what_was_done_and_no_path(small_folder, tmp_path):
    prepared = prepare("folder", small_folder, CONFIG, tmp_path / "out")
    recipe = json.loads((tmp_path / "out" / "recipe.json").read_text())
    assert prepared.recipe == recipe
    assert (recipe["adapter"], recipe["size"], recipe["n"]) == ("folder", [20, 15], 12)
    assert (recipe["dtype"], recipe["intensity"]) == ("uint8", "raw")
    assert set(recipe["files"]) == set(FILES)
    assert str(tmp_path) not in json.dumps(recipe)


def test_16_bits_stay_16_bits(write_folder, tmp_path):
    pixels = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    row = {"image_id": "a", "patient_id": "p", "image": "a.png", "label": 1}
    root = write_folder([row], {"a.png": pixels[:, ::-1].copy()})
    prepared = prepare("folder", root, DataConfig(size=(4, 4)), tmp_path / "out")
    assert prepared.images.dtype == np.uint16
    expected = pixels[:, ::-1].reshape(4, 2, 4, 2).mean(axis=(1, 3))
    flipped = bool(prepared.cases["flipped"][0])
    np.testing.assert_array_equal(prepared.images[0], expected[:, :: -1 if flipped else 1])
    assert (prepared.masks[0] == 255).all()  # no mask at all


def test_8_and_16_bits_do_not_mix(write_folder, tmp_path):
    rows = [{"image_id": n, "patient_id": n, "image": f"{n}.png", "label": 0} for n in ("a", "b")]
    files = {"a.png": np.ones((8, 8), np.uint8), "b.png": np.ones((8, 8), np.uint16)}
    root = write_folder(rows, files)
    with pytest.raises(DataError, match=r"manifest.csv:3: b: all images must have the same depth"):
        prepare("folder", root, CONFIG, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_images_with_neither_label_nor_mask_are_listed_as_excluded(write_folder, tmp_path):
    rows = [
        {"image_id": n, "patient_id": n, "image": f"{n}.png", "label": label}
        for n, label in (("a", 0), ("b", ""))
    ]
    files = {f"{n}.png": np.full((8, 8), value, np.uint8) for value, n in enumerate("ab")}
    prepared = prepare("folder", write_folder(rows, files), CONFIG, tmp_path / "out")
    assert prepared.cases["image_id"].tolist() == ["a"]
    excluded = (tmp_path / "out" / "excluded.csv").read_text()
    assert excluded == "image_id,reason\nb,neither label nor mask\n"


def truncate(root: Path) -> None:
    path = root / "images" / "i03.pgm"
    path.write_bytes(b"P5\n30 40\n255\n" + bytes(1000))
    manifest = root / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("i03.png", "i03.pgm", 1))


def remove(root: Path) -> None:
    (root / "images" / "i03.png").unlink()


def widen_mask(root: Path) -> None:
    Image.fromarray(np.zeros((40, 31), dtype=np.uint8)).save(root / "masks" / "i03.png")


def split_patient(root: Path) -> None:
    lines = (root / "manifest.csv").read_text().splitlines()
    lines = [line + ("," + ("test" if "i03," in line else "train")) for line in lines]
    lines[0] = lines[0].replace(",train", ",split")
    (root / "manifest.csv").write_text("\n".join(lines))


def cut_png(root: Path) -> None:
    path = root / "images" / "i03.png"
    path.write_bytes(path.read_bytes()[:300])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "truncated: 40 x 30 pixels need 1200 bytes after the header, but found 1000"),
        (remove, "images/i03.png: no such file"),
        (widen_mask, "the mask is 40 x 31 and the image 40 x 30"),
        (split_patient, "patient p1 must be in one split"),
        (cut_png, "damaged or truncated"),
    ],
)
def test_errors_are_one_line_with_their_place_and_leave_nothing(
    small_folder, tmp_path, damage, message
):
    damage(small_folder)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(DataError, match=message) as caught:
        prepare("folder", small_folder, CONFIG, tmp_path / "out")
    assert str(caught.value).startswith(f"{small_folder}/manifest.csv:5: ")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_many_errors_are_counted(small_folder, tmp_path):
    for path in (small_folder / "images").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="and 2 more; `mtlbench data check` lists them all"):
        prepare("folder", small_folder, CONFIG, tmp_path / "out")


def test_unknown_adapter():
    with pytest.raises(StudyError, match=r"must be one of .*'folder'.*but got 'foldr'"):
        prepare("foldr", Path(), CONFIG, Path("never"))


def test_out_is_replaced_where_prepared_and_spared_where_not(small_folder, tmp_path):
    out = tmp_path / "out"
    prepare("folder", small_folder, NATIVE, out)
    assert prepare("folder", small_folder, CONFIG, out).images.shape == (12, 20, 15)
    assert sorted(p.name for p in out.iterdir()) == sorted([*FILES, "recipe.json"])
    with pytest.raises(DataError, match="must be new, empty or a prepared data set"):
        prepare("folder", small_folder, CONFIG, small_folder)
    assert (small_folder / "manifest.csv").exists()


def test_a_kill_leaves_nothing_that_opens_and_the_next_run_tidies_up(small_folder, tmp_path):
    out = tmp_path / "cache" / "out"
    script = f"""
        import os, signal
        from pathlib import Path
        from mtlbench.config import DataConfig
        from mtlbench.data.prepare import prepare
        def kill(done, total):
            if done == 7:
                os.kill(os.getpid(), signal.SIGKILL)
        config = DataConfig(size=(20, 15))
        prepare("folder", Path({str(small_folder)!r}), config, Path({str(out)!r}), 1, kill)
    """
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], env=os.environ, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    assert len(list(out.parent.iterdir())) == 1
    prepare("folder", small_folder, CONFIG, out)
    assert list(out.parent.iterdir()) == [out]
    assert len(open_prepared(out, verify=True).cases) == 12


def killed_at(done: int, root: Path, out: Path) -> None:
    script = f"""
        import os, signal
        from pathlib import Path
        from mtlbench.config import DataConfig
        from mtlbench.data.prepare import prepare
        def kill(done, total):
            if done == {done}:
                os.kill(os.getpid(), signal.SIGKILL)
        config = DataConfig(size=(20, 15))
        prepare("folder", Path({str(root)!r}), config, Path({str(out)!r}), 0, kill)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert killed.returncode == -signal.SIGKILL


def spy_on_convert(monkeypatch) -> list[str]:
    converted = []

    def spy(mammogram, config):
        converted.append(mammogram.image_id)
        return convert(mammogram, config)

    monkeypatch.setattr("mtlbench.data.prepare.convert", spy)
    return converted


def test_after_a_kill_no_finished_image_is_done_again(small_folder, tmp_path, monkeypatch):
    undisturbed = prepare("folder", small_folder, CONFIG, tmp_path / "undisturbed")
    out = tmp_path / "cache" / "out"
    killed_at(3, small_folder, out)
    killed_at(7, small_folder, out)
    converted = spy_on_convert(monkeypatch)
    prepared = prepare("folder", small_folder, CONFIG, out)
    assert converted == [f"i{number:02d}" for number in range(7, 12)]
    assert contents(prepared.root) == contents(undisturbed.root)


@pytest.mark.parametrize("name", ["new/images.npy", "new/masks.npy", "journal.jsonl"])
def test_what_did_not_reach_the_disk_is_done_again(small_folder, tmp_path, monkeypatch, name):
    undisturbed = prepare("folder", small_folder, CONFIG, tmp_path / "undisturbed")
    out = tmp_path / "cache" / "out"
    killed_at(7, small_folder, out)
    [scratch] = out.parent.iterdir()
    data = bytearray((scratch / name).read_bytes())
    row = len(data) * 4 // 7  # within the fifth image
    data[row] ^= 0xFF
    (scratch / name).write_bytes(data)
    converted = spy_on_convert(monkeypatch)
    prepared = prepare("folder", small_folder, CONFIG, out)
    assert converted[-1] == "i11"
    assert 4 < len(converted) < 12
    assert contents(prepared.root) == contents(undisturbed.root)


def test_after_a_kill_other_settings_begin_anew(small_folder, tmp_path, monkeypatch):
    out = tmp_path / "cache" / "out"
    killed_at(7, small_folder, out)
    converted = spy_on_convert(monkeypatch)
    prepare("folder", small_folder, NATIVE, out)
    assert len(converted) == 12
    assert list(out.parent.iterdir()) == [out]


def test_faulty_images_are_left_out_and_listed_where_asked(small_folder, tmp_path):
    cut_png(small_folder)
    (small_folder / "images" / "i05.png").unlink()
    sound = small_folder.parent / "sound"
    shutil.copytree(small_folder, sound)
    lines = (sound / "manifest.csv").read_text().splitlines(keepends=True)
    (sound / "manifest.csv").write_text(
        "".join(line for line in lines if not line.startswith(("i03", "i05")))
    )
    config = CONFIG.model_copy(update={"faulty": "exclude"})
    prepared = prepare("folder", small_folder, config, tmp_path / "out")
    expected = prepare("folder", sound, CONFIG, tmp_path / "expected")
    np.testing.assert_array_equal(prepared.images, expected.images)
    np.testing.assert_array_equal(prepared.masks, expected.masks)
    assert prepared.cases.equals(expected.cases)
    assert prepared.lesions.equals(expected.lesions)
    excluded = pd.read_csv(tmp_path / "out" / "excluded.csv")
    assert excluded["image_id"].tolist() == ["i05", "i03"]  # in the order of finding
    assert "no such file" in excluded["reason"][0]
    assert "damaged or truncated" in excluded["reason"][1]


def test_one_picture_under_two_labels_is_left_out_twice(write_folder, tmp_path):
    rows = [
        {"image_id": n, "patient_id": n, "image": f"{n}.png", "label": label}
        for n, label in (("a", 0), ("b", 1), ("c", 1))
    ]
    files = {
        f"{n}.png": np.full((8, 8), value, np.uint8)
        for n, value in zip("abc", (5, 5, 7), strict=True)
    }
    root = write_folder(rows, files)
    with pytest.raises(DataError, match=r"same pixels as b at manifest\.csv:3, but label 1"):
        prepare("folder", root, CONFIG, tmp_path / "out")
    config = CONFIG.model_copy(update={"faulty": "exclude"})
    prepared = prepare("folder", root, config, tmp_path / "out")
    assert prepared.cases["image_id"].tolist() == ["c"]
    assert prepared.images.shape[0] == 1
    assert prepared.images.max() == 7


def test_a_second_process_takes_what_the_first_has_just_prepared(small_folder, tmp_path):
    """Both are asked at once; the second waits and does not convert."""
    script = f"""
        import sys, time
        from pathlib import Path
        from mtlbench.config import DataConfig
        from mtlbench.data import prepare as module
        calls = []
        real = module.convert
        def slow(mammogram, config):
            calls.append(1)
            time.sleep(0.1)
            return real(mammogram, config)
        module.convert = slow
        module.prepare("folder", Path({str(small_folder)!r}), DataConfig(size=(20, 15)),
                       Path({str(tmp_path / "out")!r}), 0)
        print(len(calls))
    """
    both = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    assert sorted(int(process.communicate()[0]) for process in both) == [0, 12]


def test_recipe_key_follows_files_and_settings(small_folder):
    key = recipe_key("folder", small_folder, CONFIG)
    assert recipe_key("folder", small_folder, CONFIG) == key
    assert recipe_key("folder", small_folder, DataConfig(size=(20, 15), split_seed=9)) == key
    assert recipe_key("folder", small_folder, DataConfig(size=(20, 15), patients=9)) == key
    assert recipe_key("folder", small_folder, NATIVE) != key
    assert recipe_key("mias", small_folder, CONFIG) != key
    (small_folder / "images" / "i00.png").touch()
    assert recipe_key("folder", small_folder, CONFIG) != key


def test_recipe_key_of_phantoms_is_their_settings():
    def key(**settings):
        return recipe_key("phantom", Path(), DataConfig(size=(128, 96), **settings))

    keys = {key(), key(patients=9), key(phantom_seed=1), key(difficulty="easy")}
    assert len(keys) == 4
    assert key(test=0.3) == key()


def test_real_mias_keeps_lesion_areas(mini_mias, tmp_path):
    prepared = prepare("mias", mini_mias, DataConfig(size=(512, 384)), tmp_path / "out", jobs=2)
    assert prepared.images.shape == (238, 512, 384)
    once = prepared.lesions.groupby("image_id").filter(lambda rows: len(rows) == 1)
    located = once[once["class"].notna() & (once["area_px"].fillna(0) >= 400 / 0.375**2)]
    rows = prepared.cases.reset_index().set_index("image_id")["index"]
    ratio = [
        (prepared.masks[rows[lesion["image_id"]]] == lesion["class"]).sum()
        / (lesion["area_px"] * 0.375**2)
        for _, lesion in located.iterrows()
    ]
    assert len(ratio) > 20
    assert np.quantile(np.abs(np.array(ratio) - 1), 0.95) < 0.02


def test_real_cbis_masks_come_through(cbis_mass_256, tmp_path):
    columns = {
        "image_id": "key",
        "image": "images/{key}.png",
        "mask": "masks/{key}.png",
        "side": "laterality",
        "type": "=mass",
    }
    config = DataConfig(size=(256, 256), columns=columns)
    prepared = prepare("folder", cbis_mass_256, config, tmp_path / "out")
    assert prepared.cases["label"].value_counts().to_dict() == {0: 629, 1: 602}
    assert prepared.cases["flipped"].sum() == 0  # the set has the chest wall at the left
    for row in range(0, 1231, 100):
        case = prepared.cases.iloc[row]
        stored = (
            MaskFile(cbis_mass_256 / "masks" / f"{case['image_id']}.png")
            .rasterise(256, 256)
            .whole(256, 256)
        )
        np.testing.assert_array_equal(prepared.masks[row] > 0, stored)
