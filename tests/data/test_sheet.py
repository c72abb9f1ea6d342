import re

import numpy as np

from mtlbench.config import DataConfig
from mtlbench.data.adapters import phantom
from mtlbench.data.check import check
from mtlbench.data.mammogram import Finding, Index, Mammogram
from mtlbench.data.sheet import SHOWN, choose, write_sheet

CONFIG = DataConfig(size=(96, 72), patients=20)


def test_three_quarters_have_a_lesion_and_all_are_spread_over_the_set():
    mammograms = phantom.read(None, CONFIG.model_copy(update={"patients": 100})).mammograms
    chosen = choose(mammograms, SHOWN)
    assert len(chosen) == SHOWN == len({m.image_id for m in chosen})
    assert sum(bool(m.lesions) for m in chosen) == 36
    places = [mammograms.index(m) for m in chosen if m.lesions]
    assert places == sorted(places)
    assert places[0] < 40
    assert places[-1] > 360


def test_few_images_are_all_shown():
    mammograms = phantom.read(None, CONFIG.model_copy(update={"patients": 3})).mammograms
    assert sorted(m.image_id for m in choose(mammograms, SHOWN)) == sorted(
        m.image_id for m in mammograms
    )


def test_the_page_shows_each_image_and_fetches_nothing(tmp_path):
    index = phantom.read(None, CONFIG)
    odd = Finding("note", "list.csv", 3, "a <script>alert(1)</script> of sorts", "P0001_LEFT_CC")
    index = Index(index.mammograms, [odd])
    report = check(index, CONFIG)
    out = tmp_path / "sheet.html"
    write_sheet("phantoms", index.mammograms, report, CONFIG, out)
    page = out.read_text()
    assert len(re.findall('<img src="data:image/jpeg;base64,', page)) == SHOWN
    assert "<script" not in page
    assert "a &lt;script&gt;" in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "0 errors, 1 notes" in page


def test_an_unreadable_image_has_a_card_that_says_so(tmp_path):
    def fail():
        from mtlbench.errors import DataError

        raise DataError("cut off")

    image = Mammogram("a", "p", fail, 8, 8, label=0)
    report = check(Index([image], []), CONFIG)
    write_sheet("t", [image], report, CONFIG, tmp_path / "s.html")
    page = (tmp_path / "s.html").read_text()
    assert "cannot be read" in page
    assert "error: cut off" in page


def test_outlines_have_the_colour_of_their_class(tmp_path):
    from mtlbench.data.mammogram import Lesion
    from mtlbench.data.outlines import Circle
    from mtlbench.data.show import COLOURS, draw_outlines

    picture = np.zeros((40, 40, 3), dtype=np.uint8)
    lesion = Lesion("mass", "malignant", Circle(20, 20, 8))
    draw_outlines(picture, [lesion], [lesion.outline.rasterise(40, 40)], 1)
    rows, columns = np.nonzero(picture.any(axis=2))
    assert {tuple(colour) for colour in picture[rows, columns]} == {COLOURS[2]}
    distance = np.hypot(rows - 20, columns - 20)
    assert distance.min() > 7.9  # around the lesion, not on it
    assert distance.max() < 10.1
