import numpy as np
import pytest
import torch
from scipy import stats

from mtlbench.config import AugmentConfig
from mtlbench.data.augment import augment, uniforms

OFF = AugmentConfig(flip=False, rotate_deg=0, scale=0, shift=0, contrast=0, brightness=0)
FLIP = OFF.model_copy(update={"flip": True})
FULL = AugmentConfig()


def pair(n=6, height=20, width=14):
    generator = torch.Generator().manual_seed(0)
    mask_BHW = torch.randint(0, 5, (n, height, width), generator=generator).byte()
    return mask_BHW[:, None].float(), mask_BHW


def test_uniforms_are_uniform_and_uncorrelated():
    draw_BD = uniforms(1, 2, np.arange(20_000), 3)
    assert all(stats.kstest(draw_BD[:, d], "uniform").pvalue > 1e-3 for d in range(3))
    assert np.abs(np.corrcoef(draw_BD.T) - np.eye(3)).max() < 0.03


@pytest.mark.parametrize("other", [(4, 7), (3, 8)])
def test_another_seed_or_epoch_draws_anew(other):
    assert (uniforms(3, 7, np.arange(9), 2) != uniforms(*other, np.arange(9), 2)).all()


def test_what_happens_to_a_case_does_not_depend_on_its_batch():
    image_B1HW, mask_BHW = pair()
    cases = np.arange(6)
    whole = augment(image_B1HW, mask_BHW, cases, FULL, 0, 3)
    alone = augment(image_B1HW[4:5], mask_BHW[4:5], cases[4:5], FULL, 0, 3)
    assert torch.equal(whole[0][4:5], alone[0])
    assert torch.equal(whole[1][4:5], alone[1])


def test_nothing_asked_nothing_changed():
    image_B1HW, mask_BHW = pair()
    out_image, out_mask = augment(image_B1HW, mask_BHW, np.arange(6), OFF, 0, 0)
    assert torch.equal(out_image, image_B1HW)
    assert torch.equal(out_mask, mask_BHW)


def test_a_flip_mirrors_rows_of_about_half_the_cases():
    image_B1HW, mask_BHW = pair(n=40)
    out_image, out_mask = augment(image_B1HW, mask_BHW, np.arange(40), FLIP, 0, 0)
    flipped_B = (out_mask == mask_BHW.flip(1)).flatten(1).all(dim=1)
    kept_B = (out_mask == mask_BHW).flatten(1).all(dim=1)
    assert (flipped_B ^ kept_B).all()
    assert 10 <= flipped_B.sum() <= 30
    torch.testing.assert_close(out_image[flipped_B], image_B1HW[flipped_B].flip(2))


def test_image_and_mask_move_together():
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(48), indexing="ij")
    disc_HW = ((rows - 30) ** 2 + (columns - 20) ** 2 < 100).byte()
    mask_BHW = disc_HW.repeat(8, 1, 1)
    config = FULL.model_copy(update={"contrast": 0.0, "brightness": 0.0})
    image_B1HW, out_BHW = augment(mask_BHW[:, None].float(), mask_BHW, np.arange(8), config, 0, 0)
    agree = ((image_B1HW[:, 0] > 0.5) == (out_BHW > 0)).float().mean()
    assert agree > 0.995
    area_B = out_BHW.float().sum(dim=(1, 2)) / disc_HW.sum()
    assert ((area_B > 0.8) & (area_B < 1.25)).all()
    assert not torch.equal(out_BHW[0], out_BHW[1])


def test_a_rotation_keeps_shapes_in_an_oblong_image():
    rows, columns = torch.meshgrid(torch.arange(96), torch.arange(64), indexing="ij")
    disc_HW = ((rows - 47.5) ** 2 + (columns - 31.5) ** 2 < 400).byte()
    config = OFF.model_copy(update={"rotate_deg": 90.0})
    _, out_BHW = augment(
        disc_HW[None, None].float().repeat(8, 1, 1, 1), disc_HW.repeat(8, 1, 1), np.arange(8),
        config, 0, 0,
    )  # fmt: skip
    assert ((out_BHW != disc_HW).float().mean(dim=(1, 2)) < 0.01).all()
