"""The compressed transfer syntaxes of DICOM: who decodes a frame, and whether it came whole.

imagecodecs (BSD) binds the fastest permissively licensed library of each: libjpeg-turbo, CharLS,
OpenJPEG.
"""

import struct
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from pydicom import uid

from mtlbench.data.pixels.jpeg import JPEG_LS, LOSSLESS, damage, parse_jpeg

Frame = NDArray[Any]
_MAX_TILES = 4096
_LOSSY_FRAMES = {0xC0, 0xC1, 0xC2}


def _decode_jpeg(data: bytes, height: int, width: int, frames: set[int]) -> Frame:
    stream = parse_jpeg(data)
    if stream.frame not in frames:
        raise ValueError(f"its JPEG frame 0x{stream.frame:X} is not of the transfer syntax")
    _check_frame(height, width, stream.height, stream.width, stream.components)
    if stream.frame == JPEG_LS:
        if not stream.ended:  # CharLS takes seconds to find out
            raise ValueError("cut off: the end-of-image marker is missing")
        return np.asarray(imagecodecs.jpegls_decode(data))
    if stream.precision == 8 and stream.frame != LOSSLESS:
        return decode_lossy_jpeg(data)
    pixels_HW = imagecodecs.jpeg8_decode(data)
    if fault := damage(stream, pixels_HW):
        raise ValueError(fault)
    return np.asarray(pixels_HW)


def decode_lossy_jpeg(data: bytes) -> NDArray[np.uint8]:
    """Decode a grey JPEG of 8 bits, HW.

    Raises:
        ValueError: it is damaged in any way that libjpeg notices, and would else fill up.
    """
    pixels_HW1: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace="GRAY", strict=True)
    return pixels_HW1[..., 0]


def _lossy(data: bytes, height: int, width: int) -> Frame:
    return _decode_jpeg(data, height, width, _LOSSY_FRAMES)


def _lossless(data: bytes, height: int, width: int) -> Frame:
    return _decode_jpeg(data, height, width, {LOSSLESS})


def _jpeg_ls(data: bytes, height: int, width: int) -> Frame:
    return _decode_jpeg(data, height, width, {JPEG_LS})


def _jpeg_2000(data: bytes, height: int, width: int) -> Frame:
    """ISO/IEC 15444-1, annex A: the size is checked before, the tile-parts' lengths after."""
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0 or len(data) < at + 42:
        raise ValueError("it holds no JPEG 2000 codestream")
    right, bottom, left, top, tile_w, tile_h = struct.unpack_from(">6I", data, at + 8)
    (components,) = struct.unpack_from(">H", data, at + 40)
    _check_frame(height, width, bottom - top, right - left, components)
    if not tile_w or not tile_h or (width // tile_w + 1) * (height // tile_h + 1) > _MAX_TILES:
        raise ValueError(f"its tiles of {tile_h} x {tile_w} pixels are too many")
    _check_tile_parts(data, at)
    return np.asarray(imagecodecs.jpeg2k_decode(data, numthreads=1))


def _check_tile_parts(data: bytes, at: int) -> None:
    """Each tile-part says how long it is; the end-of-codestream marker follows the last."""
    at = data.find(b"\xff\x90", at)
    while at >= 0 and data[at : at + 2] == b"\xff\x90":
        (length,) = struct.unpack_from(">I", data.ljust(at + 10, b"\0"), at + 6)
        if length == 0:  # up to the end
            at = data.rfind(b"\xff\xd9", at)
            break
        if length < 14:
            raise ValueError("a JPEG 2000 tile-part is damaged")
        at += length
    if at < 0 or data[at : at + 2] != b"\xff\xd9":
        raise ValueError("cut off or damaged: the JPEG 2000 codestream does not end where it says")


def _rle(data: bytes, height: int, width: int) -> Frame:
    """PS3.5 annex G: P planes of N bytes, one for each byte of a pixel, the high one first."""
    if len(data) < 64:
        raise ValueError("cut off: the RLE header has 64 bytes")
    n_planes, *starts = struct.unpack_from("<16I", data)
    if n_planes not in (1, 2):
        raise ValueError(f"a grey image has 1 or 2 planes, but it has {n_planes}")
    ends = [*starts[1:n_planes], len(data)]
    planes_PN = np.empty((n_planes, height * width), dtype=np.uint8)
    for plane_N, start, end in zip(planes_PN, starts[:n_planes], ends, strict=True):
        # Into a plane of the right size: a small file may claim to hold gigabytes.
        found = len(imagecodecs.packbits_decode(data[start:end], out=plane_N))
        if found != height * width:
            raise ValueError(
                f"cut off or damaged: a plane must have {height * width} bytes, but has {found}"
            )
    planes = planes_PN.reshape(n_planes, height, width)
    return np.asarray(planes[0] if n_planes == 1 else planes[0] * np.uint16(256) + planes[1])


def _check_frame(height: int, width: int, *found: int) -> None:
    if found != (height, width, 1):
        raise ValueError(
            f"header and compressed image must agree, but it is {height} x {width} there and "
            f"{found[0]} x {found[1]} of {found[2]} channels here"
        )


DECODERS: dict[str, Callable[[bytes, int, int], Frame]] = {
    uid.JPEGBaseline8Bit: _lossy,
    uid.JPEGExtended12Bit: _lossy,
    uid.JPEGLossless: _lossless,
    uid.JPEGLosslessSV1: _lossless,
    uid.JPEGLSLossless: _jpeg_ls,
    uid.JPEGLSNearLossless: _jpeg_ls,
    uid.JPEG2000Lossless: _jpeg_2000,
    uid.JPEG2000: _jpeg_2000,
    uid.RLELossless: _rle,
}
"""Transfer syntax → (frame, height, width) → its pixels; ValueError where it is not whole."""
