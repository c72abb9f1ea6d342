"""A contact sheet: small images with their outlines, and what was found, on one page.

The page is one file that fetches nothing and runs nothing. H, W = height and width in pixels.
"""

import io
from base64 import b64encode
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from mtlbench.config import CLASSES, DataConfig
from mtlbench.data.check import Report, examine
from mtlbench.data.mammogram import Finding, Mammogram
from mtlbench.data.parallel import ordered_map
from mtlbench.data.resize import place, resample_image, resample_region
from mtlbench.data.show import COLOURS, draw_outlines, grey
from mtlbench.records import write_text

SHOWN = 48
"""Images on a sheet."""
_HEIGHT = 320
"""Height of a small image in pixels; a wide one is lower."""
_WIDTH = 280
_NORMALS = 0.25
"""Share of the sheet for images without a lesion."""


@dataclass(frozen=True, slots=True)
class Card:
    """One image of the sheet."""

    mammogram: Mammogram
    source: str
    """The small image as a data URL; empty where it cannot be read."""
    lesions: tuple[str, ...]


def write_sheet(
    title: str,
    mammograms: Sequence[Mammogram],
    report: Report,
    config: DataConfig,
    out: Path,
    jobs: int = 0,
) -> None:
    """Write the page: counts, findings, and up to `SHOWN` images chosen by `choose`."""
    work = partial(_card, config=config)
    chosen = choose(mammograms, SHOWN)
    cards = list(ordered_map(work, chosen, jobs, lambda m: Card(m, "", ())))
    of_image: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in report.findings:
        of_image[finding.image_id].append(finding)
    environment = Environment(
        loader=PackageLoader("mtlbench.data", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("sheet.html.j2").render(
        title=title,
        report=report,
        levels=Counter(finding.level for finding in report.findings),
        cards=cards,
        of_image=of_image,
        colours=[(name, _css(COLOURS[i])) for i, name in enumerate(CLASSES) if i]
        + [("another lesion", _css(COLOURS[None]))],
    )
    write_text(out, page + "\n")


def choose(mammograms: Sequence[Mammogram], number: int) -> list[Mammogram]:
    """Choose images evenly over the set: three quarters with a lesion, the rest without."""
    with_lesion = [m for m in mammograms if m.lesions]
    without = [m for m in mammograms if not m.lesions]
    few = min(len(without), max(round(number * _NORMALS), number - len(with_lesion)))
    many = min(len(with_lesion), number - few)
    return _evenly(with_lesion, many) + _evenly(without, few)


def _evenly(mammograms: Sequence[Mammogram], number: int) -> list[Mammogram]:
    return [mammograms[(2 * i + 1) * len(mammograms) // (2 * number)] for i in range(number)]


def _card(mammogram: Mammogram, config: DataConfig) -> Card:
    lesions = tuple(
        f"{lesion.pathology or 'unknown'} {lesion.type}{'' if lesion.outline else ', not located'}"
        for lesion in mammogram.lesions
    )
    seen = examine(mammogram, config.intensity)
    if seen.pixels is None:
        return Card(mammogram, "", lesions)
    native = mammogram.height, mammogram.width
    fitted = place(native, place(native, (_HEIGHT, _WIDTH)).fitted)
    picture = grey(resample_image(seen.pixels, fitted))
    regions = [
        None if region is None else resample_region(region, fitted) for region in seen.regions
    ]
    draw_outlines(picture, mammogram.lesions, regions, 1)
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=88, subsampling=0)
    return Card(
        mammogram, f"data:image/jpeg;base64,{b64encode(stream.getvalue()).decode()}", lesions
    )


def _css(colour: tuple[int, int, int]) -> str:
    return f"rgb{colour}"
