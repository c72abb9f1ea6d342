"""The adapter `ddsm` against real files, and against what others parsed of all headers."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from mtlbench.config import DataConfig
from mtlbench.data.adapters import ddsm
from mtlbench.data.adapters.ddsm.ics import VIEWS, Report, parse_ics
from mtlbench.data.adapters.ddsm.overlay import parse_overlay
from mtlbench.data.mammogram import Finding
from mtlbench.data.outlines import Chain


@pytest.fixture(scope="module")
def real(real_data: Path) -> Path:
    """Real .ics files, an overlay, and what others made of all .ics and overlay headers."""
    return real_data / "ddsm"


def walked(path: Path) -> tuple[list[tuple[int, int]], NDArray[np.bool_]]:
    """Walk the one chain of an overlay in plain Python and fill it: 5296 x 2566."""
    words = path.read_text().partition("BOUNDARY")[2].split()
    x, y = int(words[0]), int(words[1])
    points = [(x, y)]
    for word in words[2:-1]:
        x += {"1": 1, "2": 1, "3": 1, "5": -1, "6": -1, "7": -1}.get(word, 0)
        y += {"7": -1, "0": -1, "1": -1, "3": 1, "4": 1, "5": 1}.get(word, 0)
        points.append((x, y))
    drawn = np.zeros((5296, 2566), dtype=bool)
    drawn[[y for _, y in points], [x for x, _ in points]] = True
    return points, np.asarray(ndimage.binary_fill_holes(drawn))


def test_the_real_case_4000(real: Path) -> None:
    index = ddsm.read(real, DataConfig())
    assert [m.image_id for m in index.mammograms] == [
        f"D_{number}_1.{view}" for number in (4000, 4500) for view in VIEWS
    ]
    one = index.mammograms[0]
    assert (one.label, one.birads, one.density, one.scanner) == (0, "0", "3", "HOWTEK 43.5")
    assert [(x.type, x.pathology) for x in one.lesions] == [("mass", "benign")]
    assert (one.origin, one.row, one.spacing_mm) == ("case4000/D-4000-1.ics", 12, 0.0435)
    missing = [f for f in index.findings if "OVERLAY" in f.message]
    assert [(f.row, f.image_id) for f in missing] == [(13, "D_4000_1.LEFT_MLO")]
    points, filled = walked(real / "case4000" / "D_4000_1.LEFT_CC.OVERLAY")
    assert points[0] == points[-1]
    outline = one.lesions[0].outline
    assert outline is not None
    np.testing.assert_array_equal(outline.rasterise(5296, 2566).whole(5296, 2566), filled)


def test_the_real_outline_lies_on_the_real_mass(real: Path) -> None:
    """In the picture of all four views, at 1/15, LEFT_CC begins at row 370, column 172."""
    data = (real / "case4000" / "TAPE_D_4000_1.COMB.16_PGM").read_bytes()
    header = b"P5\n374 724\n65535\n\n"
    assert data.startswith(header)
    picture = np.frombuffer(data[len(header) :], dtype=">u2").reshape(724, 374)
    view = picture[370:, 172:344]
    assert view.shape == (-(-5296 // 15), -(-2566 // 15))
    assert (picture[370:, 162:172] == 0).all()
    assert (picture[370:, 344:] == 65535).all()
    outline = ddsm.read(real, DataConfig()).mammograms[0].lesions[0].outline
    assert isinstance(outline, Chain)
    inside = np.zeros(view.shape, dtype=bool)
    filled = outline.rasterise(5296, 2566).whole(5296, 2566)[7::15, 7::15]
    inside[: filled.shape[0], : filled.shape[1]] = filled
    ring = ndimage.binary_dilation(inside, iterations=8) & ~ndimage.binary_dilation(inside)
    assert view[inside].mean() > view[ring].mean()
    for shift in ((0, 172), (-370, 0)):  # not so where it does not belong
        assert (
            not np.roll(picture, shift, (0, 1))[370:, 172:344][inside].mean() > view[inside].mean()
        )


def test_all_real_headers_are_parsed(real: Path) -> None:
    """Every row of the CSVs, written back as .ics and overlay."""
    rows, cases = 0, 0
    for name in ("benign", "cancer", "normal"):
        with (real / f"all_{name}_cases_data.csv").open(newline="") as stream:
            for row in csv.DictReader(stream):
                findings: list[Finding] = []
                check_ics(row, Report("ics", findings))
                cases += (
                    check_overlay(row, Report("overlay", findings)) if "PATHOLOGY" in row else 0
                )
                assert findings == [], row["filename"]
                rows += 1
    assert (rows, cases) == (863 + 914 + 694, 863 + 914)


def check_ics(row: Mapping[str, str], report: Report) -> None:
    keys = ("DATE_OF_STUDY", "PATIENT_AGE", "FILM_TYPE", "DENSITY", "DATE_DIGITIZED", "DIGITIZER")
    lines = [" ", f"ics_version {row['ics_version']}", f"filename {row['filename']}"]
    lines += [f"{key} {row[key]}" for key in (*keys, *VIEWS)]
    case = parse_ics("\n".join(lines), "x", report)
    assert case.density == row["DENSITY"].replace("0", "")
    assert case.digitizer == row["DIGITIZER"]
    for view in case.views:
        words = row[view.name].split()
        assert f"{view.height} {view.width}" == f"{words[1]} {words[3]}"
        assert view.spacing_mm == pytest.approx(float(words[7]) / 1000)
        assert view.has_overlay == (words[8] == "OVERLAY")
    assert [view.name for view in case.views] == list(VIEWS)


def check_overlay(row: Mapping[str, str], report: Report) -> int:
    keys = ("LESION_TYPE", "ASSESSMENT", "SUBTLETY", "PATHOLOGY")
    lines = ["TOTAL_ABNORMALITIES 1", "ABNORMALITY 1", *(f"{key} {row[key]}" for key in keys)]
    text = "\n".join([*lines, "TOTAL_OUTLINES 1", "BOUNDARY", "9 9 2 4 6 0 #"])
    (found,) = parse_overlay(text, 40, 30, report)
    assert found.pathology == row["PATHOLOGY"].lower()
    assert str(found.assessment) == row["ASSESSMENT"]
    assert found.type == row["LESION_TYPE"].split()[0].lower()
    return 1
