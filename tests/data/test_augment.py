import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline
from scipy.ndimage import map_coordinates

from mtlbench.config import AugmentConfig
from mtlbench.data.augment import Transform
from mtlbench.data.draws import INTERVALS, draw

CPU = torch.device("cpu")
OFF = AugmentConfig(flip=False, rotate_deg=0, scale=0, shift=0, contrast=0, brightness=0)
FLIP = OFF.model_copy(update={"flip": True})
FULL = AugmentConfig()
ALL = AugmentConfig(elastic=0.06, noise=0.2)
MOVED = ALL.model_copy(update={"contrast": 0.0, "brightness": 0.0, "noise": 0.0})


def augment(image_BHW, mask_BHW, cases, config, seed=0, epoch=0, scale=1.0, shift=0.0):
    """One batch that is the whole epoch."""
    size = tuple(mask_BHW.shape[1:])
    draws = draw(config, seed, epoch, np.asarray(cases), size)
    transform = Transform(draws, scale, shift, size, CPU)
    return transform(image_BHW, mask_BHW, slice(0, len(cases)))


def pair(n=6, height=20, width=14):
    generator = torch.Generator().manual_seed(0)
    mask_BHW = torch.randint(0, 5, (n, height, width), generator=generator).byte()
    return mask_BHW.clone(), mask_BHW


def disc(height, width, y, x, radius):
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((rows - y) ** 2 + (columns - x) ** 2 < radius**2).byte()


def source_coordinates(draws, case, height, width):
    """Row and column from which each pixel is taken: the affine map and SciPy's B-splines."""
    x_W, y_H = (2 * np.arange(width) + 1) / width - 1, (2 * np.arange(height) + 1) / height - 1
    places = np.stack([*np.meshgrid(x_W, y_H), np.ones((height, width))])
    x_HW, y_HW = np.tensordot(draws.affine_N23[case].astype(float), places, axes=1)
    if draws.control_N2rc is not None:
        spacing = height / INTERVALS
        control_rc2 = draws.control_N2rc[case].transpose(1, 2, 0).astype(float)
        knots = [np.arange(-3, n + 1) for n in control_rc2.shape]
        along_rows = BSpline(knots[0], control_rc2, 3)((np.arange(height) + 0.5) / spacing)
        both = BSpline(knots[1], along_rows, 3, axis=1)((np.arange(width) + 0.5) / spacing)
        x_HW, y_HW = x_HW + both[..., 0], y_HW + both[..., 1]
    rows, columns = ((y_HW + 1) * height - 1) / 2, ((x_HW + 1) * width - 1) / 2
    return np.stack([rows.clip(0, height - 1), columns.clip(0, width - 1)])


@pytest.mark.parametrize("config", [FLIP, FULL, ALL], ids=["flip", "affine", "elastic"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_image_and_mask_are_sampled_as_by_scipy(config, dtype):
    config = config.model_copy(update={"contrast": 0.0, "brightness": 0.0, "noise": 0.0})
    height, width, cases = 60, 41, np.array([3, 0, 11, 2])
    rng = np.random.default_rng(0)
    image = rng.integers(0, np.iinfo(dtype).max, (4, height, width), dtype, endpoint=True)
    mask = rng.choice(np.array([0, 1, 2, 3, 4, 255], np.uint8), (4, height, width))
    stored = torch.from_numpy(image.view(np.int16) if dtype == np.uint16 else image)
    got_image, got_mask = augment(stored, torch.from_numpy(mask), cases, config, 1, 2)
    draws = draw(config, 1, 2, cases, (height, width))
    for i in range(4):
        at = source_coordinates(draws, i, height, width)
        expected = map_coordinates(image[i].astype(float), at, order=1, mode="nearest")
        np.testing.assert_allclose(got_image[i, 0], expected, atol=1e-4 * np.iinfo(dtype).max)
        nearest = map_coordinates(mask[i], at, order=0, mode="nearest")
        unsure = (np.abs(at % 1 - 0.5) < 1e-3).any(axis=0)
        assert unsure.mean() < 0.02
        assert np.array_equal(got_mask[i].numpy()[~unsure], nearest[~unsure])


def test_the_image_is_standardised_then_changed_in_contrast_and_brightness():
    config = OFF.model_copy(update={"contrast": 0.3, "brightness": 0.2})
    image_BHW, mask_BHW = pair()
    got, _ = augment(image_BHW, mask_BHW, np.arange(6), config, 4, 5, scale=0.25, shift=-0.5)
    draws = draw(config, 4, 5, np.arange(6), (20, 14))
    standard = image_BHW.numpy() / 4 - 0.5
    expected = draws.gain_N[:, None, None] * standard + draws.offset_N[:, None, None]
    np.testing.assert_allclose(got[:, 0], expected, atol=1e-6)
    assert ((draws.gain_N > 0.7) & (draws.gain_N < 1.3) & (abs(draws.offset_N) < 0.2)).all()
    assert len({*draws.gain_N, *draws.offset_N}) == 12


def test_nothing_asked_nothing_changed():
    image_BHW, mask_BHW = pair()
    out_image, out_mask = augment(image_BHW, mask_BHW, np.arange(6), OFF)
    assert torch.equal(out_image[:, 0], image_BHW.float())
    assert out_mask is mask_BHW


@pytest.mark.parametrize("config", [FULL, ALL], ids=["default", "all"])
def test_what_happens_to_an_image_does_not_depend_on_its_batch(config):
    image_BHW, mask_BHW = pair(n=7, height=61, width=43)
    whole = augment(image_BHW, mask_BHW, np.arange(7), config, 0, 3)
    for chosen in ([4], [5, 4], [6, 1, 4]):
        part = augment(image_BHW[chosen], mask_BHW[chosen], chosen, config, 0, 3)
        assert torch.equal(part[0], whole[0][chosen])
        assert torch.equal(part[1], whole[1][chosen])


def test_a_batch_is_cut_out_of_its_epoch():
    image_BHW, mask_BHW = pair(n=7)
    transform = Transform(draw(ALL, 0, 3, np.arange(7), (20, 14)), 1.0, 0.0, (20, 14), CPU)
    whole = augment(image_BHW, mask_BHW, np.arange(7), ALL, 0, 3)
    for cases in (slice(0, 4), slice(4, 7)):
        image_B1HW, out_BHW = transform(image_BHW[cases], mask_BHW[cases], cases)
        assert torch.equal(image_B1HW, whole[0][cases])
        assert torch.equal(out_BHW, whole[1][cases])


def test_a_flip_mirrors_rows_of_about_half_the_cases():
    image_BHW, mask_BHW = pair(n=40)
    out_image, out_mask = augment(image_BHW, mask_BHW, np.arange(40), FLIP)
    flipped_B = (out_mask == mask_BHW.flip(1)).flatten(1).all(dim=1)
    kept_B = (out_mask == mask_BHW).flatten(1).all(dim=1)
    assert (flipped_B ^ kept_B).all()
    assert 10 <= flipped_B.sum() <= 30
    torch.testing.assert_close(out_image[flipped_B, 0], image_BHW[flipped_B].flip(1).float())


def test_image_and_mask_move_together():
    disc_HW = disc(64, 48, 30, 20, 10)
    mask_BHW = disc_HW.repeat(8, 1, 1)
    image_B1HW, out_BHW = augment(mask_BHW, mask_BHW, np.arange(8), MOVED)
    agree = ((image_B1HW[:, 0] > 0.5) == (out_BHW > 0)).float().mean()
    assert agree > 0.995
    area_B = out_BHW.float().sum(dim=(1, 2)) / disc_HW.sum()
    assert ((area_B > 0.7) & (area_B < 1.4)).all()
    assert not torch.equal(out_BHW[0], out_BHW[1])


def test_under_elastic_deformation_a_lesion_moves_with_its_mask():
    config = OFF.model_copy(update={"elastic": 0.09})
    lesion_BHW = disc(120, 90, 55, 40, 12).repeat(16, 1, 1)
    image_B1HW, out_BHW = augment(200 * lesion_BHW, lesion_BHW, np.arange(16), config)
    bright_BHW, marked_BHW = image_B1HW[:, 0] > 100, out_BHW > 0
    shared_B = (bright_BHW & marked_BHW).sum(dim=(1, 2)) / (bright_BHW | marked_BHW).sum(dim=(1, 2))
    still_B = (marked_BHW & (lesion_BHW > 0)).sum(dim=(1, 2)) / lesion_BHW[0].sum()
    assert shared_B.min() > 0.97
    assert still_B.mean() < 0.9
    assert still_B.max() > still_B.min()


def test_a_rotation_keeps_shapes_in_an_oblong_image():
    disc_HW = disc(96, 64, 47.5, 31.5, 20)
    config = OFF.model_copy(update={"rotate_deg": 90.0})
    disc_BHW = disc_HW.repeat(8, 1, 1)
    _, out_BHW = augment(disc_BHW, disc_BHW, np.arange(8), config)
    assert ((out_BHW != disc_HW).float().mean(dim=(1, 2)) < 0.01).all()


def test_noise_is_added_in_units_of_the_standardised_image():
    image_BHW, mask_BHW = pair(n=20, height=90, width=70)
    noisy = FULL.model_copy(update={"noise": 0.3})
    (with_noise, moved_BHW), (without, expected_BHW) = (
        augment(image_BHW, mask_BHW, np.arange(20), config, scale=0.7) for config in (noisy, FULL)
    )
    noise_B1HW = with_noise - without
    assert torch.equal(moved_BHW, expected_BHW)
    assert abs(noise_B1HW.mean()) < 0.005
    assert noise_B1HW.std(dim=(1, 2, 3)).numpy() == pytest.approx(0.3, rel=0.05)
    between = np.corrcoef(noise_B1HW.flatten(1).numpy())
    assert np.abs(between - np.eye(20)).max() < 0.08  # 5 SD of the correlation of 6,300 pixels


def test_an_image_has_new_noise_in_another_epoch_and_run():
    config = OFF.model_copy(update={"noise": 0.3})
    image_BHW, mask_BHW = pair()
    fields = [
        augment(image_BHW, mask_BHW, np.arange(6), config, seed, epoch)[0]
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    ]
    assert not torch.equal(fields[0], fields[1])
    assert not torch.equal(fields[0], fields[2])
