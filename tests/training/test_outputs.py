import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage

from mtlbench.config import IGNORED, ModelConfig
from mtlbench.models.network import build_model
from mtlbench.records import RunFolder
from mtlbench.training import outputs
from mtlbench.training.losses import LOSSES
from mtlbench.training.outputs import _panel, panel_cases, write_outputs
from mtlbench.training.tasks import Tasks

BOTH = Tasks(0.5, 0.5, LOSSES["cross-entropy"], torch.ones(5))


def small():
    return build_model(ModelConfig(backbone="small", output_stride=8), 0)


def fake_cohort(area, label, names, has_mask=None):
    """What `panel_cases` reads of a cohort, all of it test cases."""
    cases = pd.DataFrame({"image_id": names, "label": label})
    cases["has_mask"] = True if has_mask is None else has_mask
    split = {"test": np.arange(len(area))}
    return SimpleNamespace(cases=cases, split=split, lesion_pixels=lambda case: area[case])


def test_all_lesions_are_kept_in_the_order_of_area_where_they_are_few():
    cohort = fake_cohort([0, 30, 10, 0, 20, 10, 0], [0, 1, 1, 0, 0, 0, 0], [*"gfedcba"])
    # normal: g, d, a without a lesion, by name a d g; lesions of 10: b before e
    assert cohort.cases["image_id"][panel_cases(cohort)].tolist() == [*"dbecf"]


def test_many_lesions_are_evenly_spaced_by_area():
    area = np.random.default_rng(0).permutation(np.arange(1, 94)).tolist()
    cohort = fake_cohort(area, [1] * 93, [f"i{k}" for k in range(93)])
    kept = [area[case] for case in panel_cases(cohort)]
    assert kept == [1 + 4 * k for k in range(24)]


def test_no_normal_case_is_one_with_cancer_or_without_a_mask():
    cohort = fake_cohort([0, 0, 0, 9], [1, 0, 0, 1], [*"abcd"], [True, False, True, True])
    assert panel_cases(cohort).tolist() == [2, 3]
    assert panel_cases(fake_cohort([0], [1], ["a"])).tolist() == []


def written(folder, model, cohort, tasks=BOTH):
    """The validation result, the predictions of the test cases, and the panels."""
    validation, files = write_outputs(RunFolder(folder), model, cohort, tasks, 3, ("val", "test"))
    assert set(files) == {path.name for path in folder.iterdir()}
    exact = {"score": lambda text: float(text or "nan")}  # not every pandas parses to the bit
    predictions = pd.read_csv(folder / "predictions.csv", converters=exact)
    return validation, predictions, dict(np.load(folder / "panels.npz"))


def test_one_pass_in_batches_gives_all(cohort, tmp_path):
    model = small()
    sizes = []
    model.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    written(tmp_path, model, cohort)
    cases = {name: len(cohort.split[name]) for name in ("val", "test")}
    assert sum(sizes) == sum(cases.values())
    assert len(sizes) == sum(math.ceil(count / 3) for count in cases.values())


def test_panels_are_the_images_and_what_the_predictions_say(cohort, prepared, tmp_path):
    validation, predictions, arrays = written(tmp_path, small(), cohort)
    case_P = panel_cases(cohort)
    assert arrays["image_id"].tolist() == cohort.cases["image_id"][case_P].tolist()
    top = np.iinfo(prepared.images.dtype).max
    np.testing.assert_allclose(arrays["images"], prepared.images[case_P] * (255 / top), atol=0.6)
    np.testing.assert_array_equal(arrays["truth"], prepared.masks[case_P])
    shown = predictions.set_index("image_id").loc[arrays["image_id"]]
    for k in range(5):
        inside_PHW = (arrays["pred"] == k) & (arrays["truth"] != IGNORED)
        assert inside_PHW.sum(axis=(1, 2)).tolist() == shown[f"pred_{k}"].tolist()
    np.testing.assert_array_equal(arrays["score"], shown["score"])
    np.testing.assert_array_equal(arrays["label"], shown["label"])
    assert {arrays[key].dtype for key in ("images", "truth", "pred")} == {np.dtype(np.uint8)}
    assert validation.case_N.tolist() == cohort.split["val"].tolist()


def test_candidates_are_the_components_of_the_predicted_pixels(cohort, tmp_path):
    model = small()
    written(tmp_path, model, cohort)
    found = pd.read_csv(tmp_path / "candidates.csv")["image_id"].value_counts()
    for split in ("val", "test"):
        for batch in cohort.eval_batches(cohort.split[split], 3):
            with torch.inference_mode():
                _, seg_BKhw = model(batch.image_B1HW, classify=True, segment=True)
            pred_BHW = F.interpolate(seg_BKhw, (32, 24), mode="bilinear").argmax(dim=1)
            for case, pred_HW in zip(batch.case_B, pred_BHW.numpy(), strict=True):
                _, count = ndimage.label(pred_HW > 0, structure=np.ones((3, 3)))
                assert found.get(cohort.cases["image_id"][case], 0) == count


def test_without_segmentation_nothing_is_claimed_of_pixels(cohort, tmp_path):
    cls_only = Tasks(1.0, 0.0, LOSSES["cross-entropy"], torch.ones(5))
    _, predictions, arrays = written(tmp_path, small(), cohort, cls_only)
    assert predictions[["pred_0", "true_0"]].isna().all(axis=None)
    assert "pred" not in arrays
    assert pd.read_csv(tmp_path / "candidates.csv").empty
    assert pd.read_csv(tmp_path / "lesions.csv")["hit"].isna().all()


def test_without_shown_cases_panels_are_empty(cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(outputs, "panel_cases", lambda _: np.array([], dtype=np.int64))
    _, _, arrays = written(tmp_path, small(), cohort)
    assert "pred" not in arrays
    assert {len(values) for values in arrays.values()} == {0}


def test_test_cases_that_are_not_asked_for_are_not_touched(cohort, tmp_path):
    _, files = write_outputs(RunFolder(tmp_path), small(), cohort, BOTH, 3, ("val",))
    assert "panels.npz" not in files
    assert set(pd.read_csv(tmp_path / "predictions.csv")["split"]) == {"val"}


def test_large_images_shrink_to_512_by_area_and_masks_to_the_nearest():
    image = torch.zeros(1, 1, 1024, 768)
    image[..., ::2] = 200  # every second column: its area average is 100
    mask = torch.zeros(1, 1, 1024, 768, dtype=torch.uint8)
    mask[..., 256:512, :] = IGNORED
    small = _panel(image, "area")
    assert small.shape == (512, 384)
    assert (small == 100).all()
    shrunk = _panel(mask, "nearest-exact")
    assert (np.flatnonzero(shrunk[:, 0]) == np.arange(128, 256)).all()
    assert set(np.unique(shrunk)) == {0, IGNORED}


@pytest.mark.parametrize("size", [(1152, 832), (2048, 300)])
def test_a_panel_fits_its_side_and_keeps_its_shape(size):
    height, width = _panel(torch.zeros(1, 1, *size), "area").shape
    assert max(height, width) == 512
    assert width / height == pytest.approx(size[1] / size[0], rel=0.01)
