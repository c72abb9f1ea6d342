import dataclasses

import numpy as np
import pytest
from scipy import stats
from scipy.interpolate import BSpline

from mtlbench.config import AugmentConfig
from mtlbench.data.draws import INTERVALS, draw, noise_tile, spline_basis, still, uniforms

SIZE = (40, 26)
FULL = AugmentConfig()
ALL = AugmentConfig(elastic=0.06, noise=0.2)


def split_mix(state):
    """SplitMix64 in plain integers, as published."""
    top = 2**64 - 1
    z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & top
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & top
    return z ^ (z >> 31)


@pytest.mark.parametrize("stream", [0, 2])
def test_a_draw_is_a_hash_of_seed_epoch_stream_case_and_position(stream):
    entropy = [5, 9, stream] if stream else [5, 9]
    key = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
    counters = [[case * 3 + position + 1 for position in range(3)] for case in (0, 7, 12)]
    expected = [
        [(split_mix((key + n * 0x9E3779B97F4A7C15) % 2**64) >> 11) / 2**53 for n in row]
        for row in counters
    ]
    assert uniforms(5, 9, np.array([0, 7, 12]), 3, stream).tolist() == expected


def test_uniforms_are_uniform_and_uncorrelated():
    draw_ND = uniforms(1, 2, np.arange(20_000), 3)
    assert all(stats.kstest(draw_ND[:, d], "uniform").pvalue > 1e-3 for d in range(3))
    assert np.abs(np.corrcoef(draw_ND.T) - np.eye(3)).max() < 0.03


@pytest.mark.parametrize("other", [(4, 7, 0), (3, 8, 0), (3, 7, 1)])
def test_another_seed_epoch_or_stream_draws_anew(other):
    seed, epoch, stream = other
    same = uniforms(3, 7, np.arange(9), 2)
    assert (same != uniforms(seed, epoch, np.arange(9), 2, stream)).all()


def test_what_happens_to_a_case_does_not_depend_on_the_others():
    whole, alone = (draw(ALL, 0, 3, np.array(cases), SIZE) for cases in ([8, 4, 0, 2], [4]))
    for name in ("gain_N", "offset_N", "affine_N23", "control_N2rc"):
        assert np.array_equal(getattr(whole, name)[1:2], getattr(alone, name))
    assert whole.noise.window_N[1] == alone.noise.window_N[0]
    assert np.array_equal(whole.noise.tile_T, alone.noise.tile_T)


@pytest.mark.parametrize("new", [{"elastic": 0.06}, {"noise": 0.2}])
def test_elastic_and_noise_leave_the_other_draws_as_they_are(new):
    before, after = (
        draw(config, 0, 3, np.arange(9), SIZE) for config in (FULL, FULL.model_copy(update=new))
    )
    for name in ("gain_N", "offset_N", "affine_N23"):
        assert np.array_equal(getattr(before, name), getattr(after, name))


def test_what_is_off_is_not_drawn():
    off = AugmentConfig(flip=False, rotate_deg=0, scale=0, shift=0, contrast=0, brightness=0)
    drawn, as_they_are = draw(off, 0, 3, np.arange(4), SIZE), still(4)
    for field in dataclasses.fields(drawn):
        value, expected = getattr(drawn, field.name), getattr(as_they_are, field.name)
        assert value is None if expected is None else np.array_equal(value, expected)
    assert draw(FULL, 0, 3, np.arange(4), SIZE).control_N2rc is None


@pytest.mark.parametrize(("length", "height"), [(40, 40), (26, 40), (7, 23), (30, 10)])
def test_the_basis_is_that_of_a_cubic_b_spline(length, height):
    basis = spline_basis(length, height)
    spacing = height / INTERVALS
    at = (np.arange(length) + 0.5) / spacing
    for point in range(basis.shape[1]):
        element = BSpline.basis_element(np.arange(-2, 3) + point - 1, extrapolate=False)
        np.testing.assert_allclose(basis[:, point], np.nan_to_num(element(at)), atol=1e-6)
    np.testing.assert_allclose(basis.sum(axis=1), 1, atol=1e-6)


def test_control_points_move_as_far_in_x_as_in_y_and_not_farther_than_asked():
    control_N2rc = draw(ALL, 0, 0, np.arange(200), SIZE).control_N2rc
    height, width = SIZE
    assert control_N2rc.shape == (200, 2, INTERVALS + 3, 7)  # 26 / 40 of 5 intervals are 4, and 3
    for axis, length in ((0, width), (1, height)):
        pixels = control_N2rc[:, axis].ravel() * length / 2
        far = 0.06 * height
        assert stats.kstest(pixels, stats.uniform(-far, 2 * far).cdf).pvalue > 1e-3


def least_jacobian(control_2rc, height, width):
    """Least determinant of the deformation's derivative, by differences of neighbouring pixels."""
    by_row, by_column = spline_basis(height, height), spline_basis(width, height)
    halves = np.array([width / 2, height / 2])[:, None, None]
    (x_y, x_x), (y_y, y_x) = map(np.gradient, by_row @ control_2rc @ by_column.T * halves)
    return ((1 + x_x) * (1 + y_y) - x_y * y_x).min()


def test_nothing_folds_below_the_stated_bound():
    config = AugmentConfig(elastic=0.095)
    control_N2rc = draw(config, 0, 0, np.arange(40), (120, 90)).control_N2rc
    assert min(least_jacobian(control_2rc, 120, 90) for control_2rc in control_N2rc) > 0
    columns = np.arange(control_N2rc.shape[3])
    squeeze = np.zeros(control_N2rc.shape[1:])
    squeeze[0] = np.where(columns < 3, 1, -1) * 2 * 120 / 90  # both sides towards the middle
    assert least_jacobian(0.095 * squeeze, 120, 90) > 0
    assert least_jacobian(0.15 * squeeze, 120, 90) < 0


def test_the_tile_is_white_gaussian_noise_of_the_seed():
    tile_T = noise_tile(3, 0.2, 2**20)
    assert stats.kstest(tile_T[:50_000] / 0.2, "norm").pvalue > 1e-3
    assert tile_T.mean() == pytest.approx(0, abs=0.001)
    assert tile_T.std() == pytest.approx(0.2, rel=0.005)
    for lag in (1, 26, 832):
        assert abs(np.corrcoef(tile_T[lag:], tile_T[:-lag])[0, 1]) < 0.005
    assert not np.array_equal(tile_T, noise_tile(4, 0.2, 2**20))


def test_windows_of_noise_are_spread_over_the_tile():
    noise = draw(ALL, 0, 0, np.arange(5000), SIZE).noise
    windows = len(noise.tile_T) - SIZE[0] * SIZE[1] + 1
    assert stats.kstest(noise.window_N / windows, "uniform").pvalue > 1e-3
    assert noise.window_N.max() < windows
