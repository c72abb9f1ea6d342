"""Decoding, resizing and preparing against the same work by hand with the fastest libraries.

The image is a phantom of 4000 x 3000 pixels of 12 bits, stored as JPEG-lossless DICOM.
"""

import csv
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    UID,
    DigitalMammographyXRayImageStorageForPresentation,
    JPEGLosslessSV1,
)

from mtlbench.bench.measure import Result, Row, noise_of, ratio
from mtlbench.config import DataConfig
from mtlbench.data.phantoms.image import render
from mtlbench.data.pixels import Pixels, read_image
from mtlbench.data.prepare import prepare
from mtlbench.data.resize import place, resample_image

NATIVE = (4000, 3000)
SIZE = (1152, 832)
IMAGES = 96
WORKER_ROUNDS = 3


def run() -> Result:
    """Measure; a peer that is not installed leaves its row empty."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "set"
        folder.mkdir()
        path = folder / "image.dcm"
        pixels = _pixels()
        _write(path, pixels)
        placement = place(NATIVE, SIZE)

        def ours() -> Pixels:
            return resample_image(read_image(path), placement)

        noise = noise_of(ours)
        peer = _pylibjpeg(path)
        decode = ratio(lambda: read_image(path), peer) if peer else None
        by_hand = _opencv(path, pixels, placement.fitted)
        resize = by_hand and ratio(lambda: resample_image(pixels, placement), by_hand[0])
        both = by_hand and ratio(ours, by_hand[1])
        speed_up = 1 / ratio(_preparation(folder, 2), _preparation(folder, 1), WORKER_ROUNDS)
    return Result(
        noise,
        [
            Row("decode_jpegll", "JPEG-lossless DICOM against pydicom with pylibjpeg", decode,
                "ratio", 0.35),
            Row("resize", "area average to 1152 x 832 against OpenCV's INTER_AREA", resize,
                "ratio", 1.0),
            Row("decode_resize", "both against pydicom, imagecodecs and OpenCV by hand", both,
                "ratio", 1.0),
            Row("two_workers", f"prepare {IMAGES} images with 2 processes, times as fast as 1",
                speed_up, "ratio", 1.67, "higher"),
        ],
    )  # fmt: skip


def _pixels() -> Pixels:
    """A phantom, enlarged, with the grain of a detector inside the breast; uint16, 12 bits."""
    small = render(0, 1, "left", "MLO", SIZE, "real")
    rows, columns = (np.arange(n) * s // n for n, s in zip(NATIVE, SIZE, strict=True))
    large = small[rows[:, None], columns].astype(np.float32) * 16
    grain = np.random.default_rng(0).normal(0, 8, NATIVE).astype(np.float32)
    return np.where(large > 200, np.clip(large + grain, 0, 4095), 0).astype(np.uint16)


def _write(path: Path, pixels: Pixels) -> None:
    frame = imagecodecs.jpeg8_encode(
        pixels, lossless=True, predictor=1, bitspersample=12, optimize=True
    )
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    dataset.file_meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    dataset.file_meta.MediaStorageSOPInstanceUID = UID("2.25.1")
    dataset.SOPClassUID, dataset.SOPInstanceUID = (
        dataset.file_meta.MediaStorageSOPClassUID,
        "2.25.1",
    )
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = encapsulate([bytes(frame)])
    dataset.save_as(path, enforce_file_format=True)


def _pylibjpeg(path: Path) -> Callable[[], object] | None:
    try:
        import libjpeg  # noqa: F401  the GPL codec: measured, never used
    except ImportError:
        return None

    def decode() -> Any:
        dataset = pydicom.dcmread(path)
        dataset.pixel_array_options(decoding_plugin="pylibjpeg")
        return dataset.pixel_array

    return decode


def _opencv(
    path: Path, pixels: Pixels, fitted: tuple[int, int]
) -> tuple[Callable[[], object], Callable[[], object]] | None:
    """Resizing, and decoding and resizing, as one would write them by hand on one core."""
    try:
        import cv2
    except ImportError:
        return None
    cv2.setNumThreads(1)

    def resize(image: Pixels = pixels) -> Any:
        return cv2.resize(image, fitted[::-1], interpolation=cv2.INTER_AREA)

    def decode_and_resize() -> Any:
        dataset = pydicom.dcmread(path)
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        return resize(imagecodecs.jpeg8_decode(frame))

    return resize, decode_and_resize


def _preparation(folder: Path, jobs: int) -> Callable[[], object]:
    """Prepare the image `IMAGES` times, as a data set of as many patients."""
    with (folder / "manifest.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("image_id", "patient_id", "image", "label"))
        writer.writerows((n, n, "image.dcm", 0) for n in range(IMAGES))
    config = DataConfig(size=SIZE)
    return lambda: prepare("folder", folder, config, folder.parent / "prepared", jobs)
