import numpy as np
import pytest

from mtlbench.data.phantoms.brushes import Dots, add_dots, power_law_pair, stroke, threads


def test_power_law_has_its_exponent_and_unit_variance() -> None:
    fields = power_law_pair(np.random.default_rng(0), 512, beta=3.0, knee=2.0)
    for field in fields:
        assert field.shape == (512, 512)
        assert field.mean() == pytest.approx(0, abs=1e-4)
        assert field.std() == pytest.approx(1, abs=0.35)  # a few large waves hold most of it
        k = np.fft.fftfreq(512) * 512
        power = np.abs(np.fft.fft2(field)) ** 2
        bins = np.round(np.hypot(k[:, None], k)).astype(int).ravel()
        mean = np.bincount(bins, power.ravel()) / np.bincount(bins)
        slope = np.polyfit(np.log(np.arange(16, 100)), np.log(mean[16:100]), 1)[0]
        assert slope == pytest.approx(-3.0, abs=0.2)
    assert abs(np.corrcoef(fields[0].ravel(), fields[1].ravel())[0, 1]) < 0.3


def test_the_same_stream_gives_the_same_waves_at_every_size() -> None:
    small, _ = power_law_pair(np.random.default_rng(1), 64, beta=4.0, knee=2.0)
    large, _ = power_law_pair(np.random.default_rng(1), 256, beta=4.0, knee=2.0)
    waves_small = np.fft.fft2(small)[1:16, 1:16] / 64**2
    waves_large = np.fft.fft2(large)[1:16, 1:16] / 256**2
    k = np.arange(1, 16)
    aperture = [np.sinc(k[:, None] / n) * np.sinc(k / n) for n in (64, 256)]
    assert waves_small / aperture[0] == pytest.approx(waves_large / aperture[1], abs=1e-5)


def test_smooth_fields_need_few_waves() -> None:
    all_waves, _ = power_law_pair(np.random.default_rng(2), 256, 5.0, 3.0)
    few_waves, _ = power_law_pair(np.random.default_rng(2), 256, 5.0, 3.0, finest=60)
    assert few_waves == pytest.approx(all_waves, abs=0.05)


@pytest.mark.parametrize("spacing_mm", [0.05, 0.2, 0.9, 1.8])
def test_a_dot_keeps_its_volume_at_every_resolution(spacing_mm: float) -> None:
    radius, peak = 0.4, 3.0
    centres = np.random.default_rng(3).uniform(25, 35, (2, 200))
    image = np.zeros((round(60 / spacing_mm), round(60 / spacing_mm)), dtype=np.float32)
    add_dots(image, Dots(*centres, np.full(200, radius), np.full(200, peak)), spacing_mm)
    volume = 200 * peak * np.pi * radius**2 / 2  # of a cap 1 − (r/R)²
    assert image.sum() * spacing_mm**2 == pytest.approx(volume, rel=0.05)


def test_a_dot_lies_where_it_should_and_outside_adds_nothing() -> None:
    image = np.zeros((40, 30), dtype=np.float32)
    far = Dots(np.array([-9.0, 3.05]), np.array([2.0, 99.0]), np.ones(2), np.ones(2))
    add_dots(image, far, spacing_mm=0.1)
    assert not image.any()
    add_dots(image, Dots(*(np.array([v]) for v in (1.05, 2.05, 0.5, 1.0))), spacing_mm=0.1)
    assert np.unravel_index(image.argmax(), image.shape) == (20, 10)


def test_a_stroke_is_a_line_of_its_height() -> None:
    x = np.arange(2, 8, 0.05)
    image = np.zeros((100, 100), dtype=np.float32)
    line = stroke(x, np.full_like(x, 5.05), np.full_like(x, 0.6), np.full_like(x, 2.0), 0.05)
    add_dots(image, Dots(*line), spacing_mm=0.1)
    assert image[50, 40:60] == pytest.approx(2.0, rel=0.05)


def test_threads_have_their_width() -> None:
    ramp = np.tile(np.arange(400, dtype=np.float32) / 40, (400, 1))  # a value of 1 every 40 pixels
    strands = threads(ramp, spacing_mm=0.05, step=1.0, width_mm=0.5)
    assert strands.max() == pytest.approx(1.0, abs=0.01)
    at_half = (strands[200] > 0.5).sum() / 10 * 0.05  # ten strands
    assert at_half == pytest.approx(2 * 0.5 * np.sqrt(np.log(2)), abs=0.06)
