"""Where lesions lie: the outlines that data sets use, and the pixels that they cover.

H, W = height and width of the image in pixels, h, w = of a patch of it; image coordinates have
their origin at the top left pixel's centre, x is the column, y the row.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mtlbench.data.pixels import Pixels, read_image
from mtlbench.errors import DataError

Mask = NDArray[np.bool_]
Bounds = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max."""
_SAME_SHAPE = 0.01
"""Relative difference of aspect ratios up to which two sizes are of one picture."""
_CHAIN_STEPS = np.array([(0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1)])
"""dx, dy of the codes 0 to 7: clockwise from up."""


class Region(NamedTuple):
    """The pixels of a lesion: a patch, bool hw, and its top left corner in the image."""

    top: int
    left: int
    mask_hw: Mask

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.mask_hw))

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of the patch in the image."""
        height, width = self.mask_hw.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    def whole(self, height: int, width: int) -> Mask:
        """Give the mask of the whole image, bool HW."""
        mask_HW = np.zeros((height, width), dtype=bool)
        mask_HW[self.slices] = self.mask_hw
        return mask_HW

    def mirrored(self, width: int) -> "Region":
        """Give the region in the image mirrored left to right."""
        return Region(self.top, width - self.left - self.mask_hw.shape[1], self.mask_hw[:, ::-1])

    def cropped(self, top: int, left: int, height: int, width: int) -> "Region":
        """Give what lies in a window of the image, in the window's coordinates."""
        rows, columns = self.slices
        y0, y1 = (min(max(y, top), top + height) for y in (rows.start, rows.stop))
        x0, x1 = (min(max(x, left), left + width) for x in (columns.start, columns.stop))
        patch = self.mask_hw[y0 - self.top : y1 - self.top, x0 - self.left : x1 - self.left]
        return Region(y0 - top, x0 - left, patch)


class Outline(Protocol):
    """Where a lesion lies; picklable, as preparation runs in several processes."""

    kind: ClassVar[str]
    """`polygon`, `chain`, `circle`, `box`, `mask` or `point`."""

    def bounds(self) -> Bounds | None:
        """Give the extent as annotated, not clipped; None where it cannot leave the image."""
        ...

    def rasterise(self, height: int, width: int) -> Region:
        """Give the lesion's pixels in an image of this size; none where it lies outside.

        Raises:
            DataError: the outline's file cannot be read or does not fit.
        """
        ...


@dataclass(frozen=True, slots=True)
class Circle:
    """A disc; `radius` in pixels."""

    kind: ClassVar[str] = "circle"
    x: float
    y: float
    radius: float

    def bounds(self) -> Bounds:
        """Extent of the disc."""
        r = self.radius
        return self.x - r, self.y - r, self.x + r, self.y + r

    def rasterise(self, height: int, width: int) -> Region:
        """Pixels whose centre lies in the disc, or the nearest one."""
        rows, columns = _window(self.bounds(), height, width)
        y, x = np.ogrid[rows, columns]
        mask_hw = (x - self.x) ** 2 + (y - self.y) ** 2 <= self.radius**2
        region = Region(rows.start, columns.start, mask_hw)
        return region if mask_hw.any() else Point(self.x, self.y).rasterise(height, width)


@dataclass(frozen=True, slots=True)
class Polygon:
    """A closed outline through `points`, (x, y) each."""

    kind: ClassVar[str] = "polygon"
    points: tuple[tuple[float, float], ...]

    def bounds(self) -> Bounds:
        """Extent of the points."""
        return _extent(np.asarray(self.points, dtype=float))

    def rasterise(self, height: int, width: int) -> Region:
        """Pixels whose centre lies inside by the even-odd rule, or the nearest one."""
        points_N2 = np.asarray(self.points, dtype=float)
        region = _fill(points_N2, height, width)
        if region.mask_hw.any():
            return region
        x, y = points_N2.mean(axis=0).tolist()
        return Point(x, y).rasterise(height, width)


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain code from (x, y): `codes` 0 to 7, clockwise from up, a pixel's step each."""

    kind: ClassVar[str] = "chain"
    x: int
    y: int
    codes: bytes

    def points(self) -> NDArray[np.int64]:
        """Give the pixels of the boundary, N x 2, (x, y)."""
        steps = _CHAIN_STEPS[np.frombuffer(self.codes, dtype=np.uint8)]
        start = np.array([(self.x, self.y)])
        return np.vstack([start, start + np.cumsum(steps, axis=0)])

    def bounds(self) -> Bounds:
        """Extent of the boundary."""
        return _extent(self.points().astype(float))

    def rasterise(self, height: int, width: int) -> Region:
        """The boundary's pixels and those inside it; an open chain is closed by a line."""
        points_N2 = self.points()
        region = _fill(points_N2.astype(float), height, width)
        x, y = points_N2.T
        seen = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        region.mask_hw[y[seen] - region.top, x[seen] - region.left] = True
        return region


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; both ends belong to it."""

    kind: ClassVar[str] = "box"
    x_min: float
    y_min: float
    x_max: float
    y_max: float

    def bounds(self) -> Bounds:
        """Extent of the box."""
        return self.x_min, self.y_min, self.x_max, self.y_max

    def rasterise(self, height: int, width: int) -> Region:
        """Pixels whose centre lies in the box, or the nearest one to its middle."""
        rows, columns = _window(self.bounds(), height, width)
        mask_hw = np.ones((rows.stop - rows.start, columns.stop - columns.start), dtype=bool)
        if mask_hw.size:
            return Region(rows.start, columns.start, mask_hw)
        middle = Point((self.x_min + self.x_max) / 2, (self.y_min + self.y_max) / 2)
        return middle.rasterise(height, width)


@dataclass(frozen=True, slots=True)
class Point:
    """A single spot, such as a lone calcification."""

    kind: ClassVar[str] = "point"
    x: float
    y: float

    def bounds(self) -> Bounds:
        """Give the spot itself."""
        return self.x, self.y, self.x, self.y

    def rasterise(self, height: int, width: int) -> Region:
        """Give the nearest pixel."""
        inside = -0.5 <= self.x < width - 0.5 and -0.5 <= self.y < height - 0.5
        if not inside:
            return Region(0, 0, np.zeros((0, 0), dtype=bool))
        row, column = int(np.floor(self.y + 0.5)), int(np.floor(self.x + 0.5))
        return Region(row, column, np.ones((1, 1), dtype=bool))


@dataclass(frozen=True, slots=True)
class MaskFile:
    """An image file over the whole mammogram; the pixels of `value`, or all above `above`.

    A mask of another size is refused, or with `scaled` stretched if it has the same shape.
    """

    kind: ClassVar[str] = "mask"
    path: Path
    value: int | None = None
    above: int = 0
    scaled: bool = False

    def bounds(self) -> None:
        """Give nothing: a mask is as large as its image."""

    def rasterise(self, height: int, width: int) -> Region:
        """Give the file's pixels.

        Raises:
            DataError: the file is unreadable or has another size than the image.
        """
        pixels_hw = read_image(self.path)
        if pixels_hw.shape != (height, width):
            pixels_hw = self._stretched(pixels_hw, height, width)
        mask_HW = pixels_hw > self.above if self.value is None else pixels_hw == self.value
        rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
        if not rows.size:
            return Region(0, 0, np.zeros((0, 0), dtype=bool))
        patch = mask_HW[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return Region(int(rows[0]), int(columns[0]), patch.copy())

    def _stretched(self, pixels_hw: Pixels, height: int, width: int) -> Pixels:
        h, w = pixels_hw.shape
        if not self.scaled or not same_shape((h, w), (height, width)):
            raise DataError(
                f"{self.path}: mask and image must have the same size, but the mask is "
                f"{h} x {w} and the image {height} x {width}"
            )
        rows = (np.arange(height) * 2 + 1) * h // (2 * height)
        columns = (np.arange(width) * 2 + 1) * w // (2 * width)
        stretched_HW: Pixels = pixels_hw[rows[:, None], columns]
        return stretched_HW


def same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Tell whether two sizes, height and width each, are those of one picture at two scales."""
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= _SAME_SHAPE


def _extent(points_N2: NDArray[np.float64]) -> Bounds:
    (x_min, y_min), (x_max, y_max) = points_N2.min(axis=0), points_N2.max(axis=0)
    return float(x_min), float(y_min), float(x_max), float(y_max)


def _window(bounds: Bounds, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the pixels whose centres lie in the bounds, within the image."""
    x_min, y_min, x_max, y_max = bounds
    return _clipped(y_min, y_max, height), _clipped(x_min, x_max, width)


def _clipped(low: float, high: float, limit: int) -> slice:
    start = int(np.clip(np.ceil(low), 0, limit))
    return slice(start, max(start, int(np.clip(np.floor(high) + 1, 0, limit))))


def _fill(points_N2: NDArray[np.float64], height: int, width: int) -> Region:
    """Pixels whose centre lies inside the closed line, by the even-odd rule, row by row."""
    rows, columns = _window(_extent(points_N2), height, width)
    mask_hw = np.zeros((rows.stop - rows.start, columns.stop - columns.start), dtype=bool)
    x0, y0 = points_N2.T
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    for row in range(rows.start, rows.stop):
        crosses = (y0 <= row) != (y1 <= row)
        t = (row - y0[crosses]) / (y1[crosses] - y0[crosses])
        x = np.sort(x0[crosses] + t * (x1[crosses] - x0[crosses]))
        for left, right in zip(x[::2], x[1::2], strict=True):
            run = _clipped(left, right, width)
            mask_hw[row - rows.start, run.start - columns.start : run.stop - columns.start] = True
    return Region(rows.start, columns.start, mask_hw)
