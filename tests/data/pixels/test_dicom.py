import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from scipy.special import expit

from mtlbench.data.pixels import MAX_PIXELS, dicom, file_tone, read_header, read_image
from mtlbench.errors import DataError

HEIGHT, WIDTH = 37, 23
SECRETS = ("Secret", "S-4711", "19010203")
_RAMP = np.add.outer(np.arange(HEIGHT) * 61, np.arange(WIDTH) * 37)
PIXELS12 = ((_RAMP + np.random.default_rng(0).integers(0, 200, _RAMP.shape)) % 4096).astype("u2")
PIXELS8 = (PIXELS12 >> 4).astype("u1")


def dataset_of(pixels: np.ndarray, bits: int, **header: Any) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.2"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.PatientName, dataset.PatientID, dataset.StudyDate = SECRETS
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 * pixels.itemsize, bits, bits - 1
    dataset.PixelRepresentation = 0
    for name, value in header.items():
        setattr(dataset, name, value)
    return dataset


def write(
    path: Path,
    pixels: np.ndarray = PIXELS12,
    bits: int = 12,
    syntax: uid.UID = uid.ExplicitVRLittleEndian,
    data: bytes | None = None,
    **header: Any,
) -> Path:
    """Write a file; `data` in place of the encoded pixels (a frame, where it is encapsulated)."""
    dataset = dataset_of(pixels, bits, **header)
    dataset.file_meta.TransferSyntaxUID = syntax
    frame = encoded(pixels, bits, syntax) if data is None else data
    dataset.PixelData = encapsulate([frame]) if syntax.is_encapsulated else frame
    is_bytes = syntax.is_encapsulated or (pixels.itemsize == 1 and not syntax.is_implicit_VR)
    dataset["PixelData"].VR = "OB" if is_bytes else "OW"
    dataset.save_as(path, enforce_file_format=True)
    return path


def encoded(pixels: np.ndarray, bits: int, syntax: uid.UID) -> bytes:
    if syntax == uid.JPEGBaseline8Bit:
        return imagecodecs.jpeg8_encode(pixels, level=95)
    if syntax == uid.JPEGLossless:
        return imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=6, bitspersample=bits)
    if syntax == uid.JPEGLosslessSV1:
        return imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=1, bitspersample=bits)
    if syntax == uid.JPEGLSLossless:
        return imagecodecs.jpegls_encode(pixels)
    if syntax in (uid.JPEG2000Lossless, uid.JPEG2000):
        return imagecodecs.jpeg2k_encode(
            pixels, level=0, reversible=True, codecformat="j2k", bitspersample=bits
        )
    if syntax == uid.RLELossless:
        planes = pixels.astype(f">u{pixels.itemsize}").view("u1").reshape(*pixels.shape, -1)
        return rle([planes[..., at].tobytes() for at in range(planes.shape[-1])])
    raw = pixels.astype(f"{'<' if syntax.is_little_endian else '>'}u{pixels.itemsize}").tobytes()
    return raw + b"\0" * (len(raw) % 2)


def rle(planes: list[bytes]) -> bytes:
    """PS3.5 annex G, literal runs only."""
    segments = []
    for plane in planes:
        runs = [plane[at : at + 128] for at in range(0, len(plane), 128)]
        coded = b"".join(bytes([len(run) - 1]) + run for run in runs)
        segments.append(coded + b"\0" * (len(coded) % 2))
    starts = np.cumsum([64, *map(len, segments)])[:-1]
    header = np.zeros(16, dtype="<u4")
    header[0], header[1 : 1 + len(segments)] = len(segments), starts
    return header.tobytes() + b"".join(segments)


UNCOMPRESSED = [
    uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
]  # fmt: skip
LOSSLESS = [
    uid.RLELossless, uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless,
    uid.JPEG2000Lossless, uid.JPEG2000,
]  # fmt: skip


@pytest.mark.parametrize("syntax", [*UNCOMPRESSED, *LOSSLESS], ids=lambda syntax: syntax.name)
@pytest.mark.parametrize(("pixels", "bits"), [(PIXELS8, 8), (PIXELS12, 12), (PIXELS12 * 16, 16)])
def test_every_lossless_syntax_keeps_every_bit(
    tmp_path: Path, syntax: uid.UID, pixels: np.ndarray, bits: int
) -> None:
    path = write(tmp_path / "a.dcm", pixels, bits, syntax)
    read = read_image(path)
    assert read.dtype == pixels.dtype
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, pixels)
    assert read_header(path)[:2] == (HEIGHT, WIDTH)


def test_lossy_jpeg_is_what_pillow_makes_of_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", PIXELS8, 8, uid.JPEGBaseline8Bit)
    (tmp_path / "a.jpg").write_bytes(encoded(PIXELS8, 8, uid.JPEGBaseline8Bit))
    reference = np.asarray(Image.open(tmp_path / "a.jpg")).astype(int)
    assert np.abs(read_image(path) - reference).max() <= 1  # decoders may round otherwise


def test_8_bits_in_words_of_a_big_endian_file(tmp_path: Path) -> None:
    """PS3.5 8.1.1: the first pixel of a word is its low byte, here the second."""
    swapped = (PIXELS8.tobytes() + b"\0")[: HEIGHT * WIDTH + 1]
    swapped = np.frombuffer(swapped, dtype="<u2").astype(">u2").tobytes()
    dataset = dataset_of(PIXELS8, 8)
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
    dataset.add_new("PixelData", "OW", swapped)
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(read_image(tmp_path / "a.dcm"), PIXELS8)
    np.testing.assert_array_equal(pydicom.dcmread(tmp_path / "a.dcm").pixel_array, PIXELS8)


def test_a_frame_in_several_fragments(tmp_path: Path) -> None:
    frame = encoded(PIXELS12, 12, uid.JPEGLosslessSV1)
    dataset = dataset_of(PIXELS12, 12)
    dataset.file_meta.TransferSyntaxUID = uid.JPEGLosslessSV1
    dataset.PixelData = encapsulate([frame], fragments_per_frame=3)
    dataset["PixelData"].VR = "OB"
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(read_image(tmp_path / "a.dcm"), PIXELS12)


@pytest.fixture
def real(real_data: Path) -> Path:
    return real_data / "dicom-mg"


def test_a_real_jpeg_2000_file_is_what_pydicom_makes_of_it(real: Path) -> None:
    path = real / "nema_MG1_J2KI.dcm"
    np.testing.assert_array_equal(read_image(path), pydicom.dcmread(path).pixel_array)


def test_a_real_lossless_file_is_what_the_standard_makes_of_it(real: Path) -> None:
    """pydicom has no decoder of its own for it: the first rows by ISO/IEC 10918-1 F.2.2 and H.2."""
    path, n_rows = real / "fodicom_GH133.dcm", 12
    [frame] = generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=1)
    pixels = read_image(path)
    assert pixels.shape == (3062, 2394)
    reference = first_rows(frame, 2394, n_rows)
    assert len(set(reference[-1])) > 10
    assert pixels[:n_rows].tolist() == reference


def first_rows(data: bytes, width: int, n_rows: int) -> list[list[int]]:
    """Decode lossless JPEG of selection value 1, bit by bit."""
    dht, sof, sos = (data.index(marker) for marker in (b"\xff\xc4", b"\xff\xc3", b"\xff\xda"))
    codes, code, at = {}, 0, dht + 21
    for length, count in enumerate(data[dht + 5 : dht + 21], start=1):
        for _ in range(count):
            codes[length, code] = data[at]
            code, at = code + 1, at + 1
        code <<= 1
    start = sos + 2 + int.from_bytes(data[sos + 2 : sos + 4], "big")
    assert data[start - 3] == 1
    bits = bits_of(data[start:].replace(b"\xff\0", b"\xff"))
    rows: list[list[int]] = []
    for _ in range(n_rows):
        before = rows[-1][0] if rows else 1 << (data[sof + 4] - 1)
        rows.append([])
        for _ in range(width):
            before = (before + difference(bits, codes)) & 0xFFFF
            rows[-1].append(before)
    return rows


def bits_of(data: bytes) -> Iterator[int]:
    for byte in data:
        for shift in range(7, -1, -1):
            yield byte >> shift & 1


def difference(bits: Iterator[int], codes: dict[tuple[int, int], int]) -> int:
    length = code = 0
    while (length, code) not in codes:
        length, code = length + 1, 2 * code + next(bits)
    size = codes[length, code]
    if size in (0, 16):
        return 32768 if size else 0
    value = int("".join(str(next(bits)) for _ in range(size)), 2)
    return value if value >> (size - 1) else value - (1 << size) + 1


def test_raw_grey_levels_are_as_stored_and_turned_round_for_monochrome1(tmp_path: Path) -> None:
    assert file_tone(write(tmp_path / "a.dcm"), "raw") is None
    path = write(tmp_path / "b.dcm", PhotometricInterpretation="MONOCHROME1")
    table = file_tone(path, "raw")
    assert table is not None
    assert table.dtype == np.uint16
    assert table.tolist() == [4095 - v for v in range(4096)]
    path = write(tmp_path / "c.dcm", PIXELS8, 8, PhotometricInterpretation="MONOCHROME1")
    table = file_tone(path, "raw")
    assert table is not None
    assert (table.dtype, table[0], table[255]) == (np.uint8, 255, 0)


def linear(x: float, c: float, w: float) -> float:
    """PS3.3 C.11.2.1.2.1."""
    if x <= c - 0.5 - (w - 1) / 2:
        return 0.0
    if x > c - 0.5 + (w - 1) / 2:
        return 1.0
    return (x - (c - 0.5)) / (w - 1) + 0.5


def linear_exact(x: float, c: float, w: float) -> float:
    """PS3.3 C.11.2.1.3.2."""
    if x <= c - w / 2:
        return 0.0
    if x > c + w / 2:
        return 1.0
    return (x - c) / w + 0.5


def sigmoid(x: float, c: float, w: float) -> float:
    """PS3.3 C.11.2.1.3.1."""
    return float(expit(4 * (x - c) / w))


FUNCTIONS: dict[str | None, Callable[[float, float, float], float]] = {
    None: linear, "LINEAR": linear, "LINEAR_EXACT": linear_exact, "SIGMOID": sigmoid,
}  # fmt: skip


def table_of(path: Path, **header: Any) -> list[int]:
    table = file_tone(write(path, **header), "window")
    assert table is not None
    assert table.dtype == np.uint16
    return table.tolist()


def assert_levels(table: list[int], shares: list[float]) -> None:
    """One level in 65,535 may be rounded otherwise."""
    assert np.abs(np.array(table) - np.array(shares) * 65535).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(("centre", "width"), [(2047, 4095), (600.5, 33), (3000, 1), (-50, 9000)])
@pytest.mark.parametrize(("slope", "intercept"), [(None, None), (0.5, -100), (-1, 4095)])
@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_windows_follow_the_standard(
    tmp_path: Path, function: str | None, centre: float, width: float,
    slope: float | None, intercept: float | None, kind: str,
) -> None:  # fmt: skip
    header: dict[str, Any] = {"WindowCenter": [centre, 1], "WindowWidth": [width, 5]}
    if function:
        header["VOILUTFunction"] = function
    if slope is not None:
        header |= {"RescaleSlope": slope, "RescaleIntercept": intercept}
    table = table_of(tmp_path / "a.dcm", PhotometricInterpretation=kind, **header)
    values = [v if slope is None else v * slope + (intercept or 0) for v in range(4096)]
    shares = [FUNCTIONS[function](x, centre, width) for x in values]
    assert_levels(table, [1 - share for share in shares] if kind == "MONOCHROME1" else shares)


def lut(entries: list[int], first: int, bits: int, data: bytes | None = None) -> list[Dataset]:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries), first, bits])
    if data is None:
        item.add_new("LUTData", "US", entries)
    else:
        item.add_new("LUTData", "OW", data)
    return [item]


RISING = [n * n // 20 for n in range(100)]


@pytest.mark.parametrize("first", [-20, 0, 1000])
@pytest.mark.parametrize(
    ("bits", "form"), [(16, None), (10, None), (12, "<u2"), (9, "<u2"), (8, "u1"), (8, "<u2")]
)
def test_voi_luts_follow_the_standard(
    tmp_path: Path, first: int, bits: int, form: str | None
) -> None:
    entries = [min(entry, 255) if bits == 8 else entry for entry in RISING]
    data = None if form is None else np.array(entries, dtype=form).tobytes()
    table = table_of(
        tmp_path / "a.dcm", VOILUTSequence=lut(entries, first, bits, data),
        WindowCenter=1, WindowWidth=2,
    )  # fmt: skip
    expected = [entries[min(max(v - first, 0), 99)] / (2**bits - 1) for v in range(4096)]
    assert_levels(table, expected)


def test_a_modality_lut_goes_before_the_window(tmp_path: Path) -> None:
    table = table_of(
        tmp_path / "a.dcm", ModalityLUTSequence=lut(RISING, 500, 16),
        WindowCenter=200, WindowWidth=300,
    )  # fmt: skip
    values = [RISING[min(max(v - 500, 0), 99)] for v in range(4096)]
    assert_levels(table, [linear(x, 200, 300) for x in values])


def test_luts_in_a_big_endian_file(tmp_path: Path) -> None:
    data = np.array(RISING, dtype=">u2").tobytes()
    sequence = lut(RISING, 0, 12, data)
    table = table_of(tmp_path / "a.dcm", syntax=uid.ExplicitVRBigEndian, VOILUTSequence=sequence)
    assert_levels(table[:100], [entry / 4095 for entry in RISING])


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({}, 'intensity "window" needs a window or VOI LUT in the header'),
        ({"WindowCenter": 5, "WindowWidth": 0.5}, "a window must have a finite centre"),
        ({"WindowCenter": 5, "WindowWidth": 9, "VOILUTFunction": "CUBIC"}, "VOI LUT function must"),
        ({"VOILUTSequence": lut(RISING, 0, 16, b"\0" * 90)}, "as many entries as its descriptor"),
        ({"VOILUTSequence": lut(RISING, 0, 16, b"\0" * 150)}, "as many entries as its descriptor"),
        ({"VOILUTSequence": [Dataset()]}, "damaged DICOM file"),
    ],
)
def test_windows_that_cannot_be_used(tmp_path: Path, header: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "a.dcm", **header)
    with pytest.raises(DataError, match=message):
        file_tone(path, "window")


def test_a_window_of_text_is_not_repeated(tmp_path: Path) -> None:
    dataset = dataset_of(PIXELS12, 12, WindowWidth=9)
    dataset.add_new("WindowCenter", "LO", SECRETS[0])
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(DataError, match=r"a\.dcm: damaged DICOM file \(ValueError\)$"):
        file_tone(tmp_path / "a.dcm", "window")


def test_optical_density_is_no_matter_of_dicom(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="optical density is known for the films of ddsm only"):
        file_tone(write(tmp_path / "a.dcm"), "optical-density")


@pytest.mark.parametrize(
    ("header", "facts"),
    [
        ({"ImagerPixelSpacing": [0.07, 0.07], "PixelSpacing": [1, 1]}, {"spacing_mm": 0.07}),
        ({"PixelSpacing": [0.1, 0.1]}, {"spacing_mm": 0.1}),
        ({"PixelSpacing": [0.1, 0.2]}, {"spacing_mm": None}),
        ({"PixelSpacing": [0, 0]}, {"spacing_mm": None}),
        ({"PatientOrientation": ["A", "F"]}, {"chest_wall": "left"}),
        ({"PatientOrientation": ["P", "FL"]}, {"chest_wall": "right"}),
        ({"PatientOrientation": ["PR", "F"]}, {"chest_wall": "right"}),
        ({"PatientOrientation": ["L", "F"]}, {"chest_wall": ""}),
        ({"PatientOrientation": ""}, {"chest_wall": ""}),
        ({"Manufacturer": "GE ", "ManufacturerModelName": "One  2"}, {"scanner": "GE One 2"}),
        ({"SeriesDescription": "cropped images"}, {"series": "cropped images"}),
        ({}, {"spacing_mm": None, "chest_wall": "", "scanner": "", "series": ""}),
    ],
)
def test_what_the_header_says(
    tmp_path: Path, header: dict[str, Any], facts: dict[str, object]
) -> None:
    found = read_header(write(tmp_path / "a.dcm", **header))
    assert {name: getattr(found, name) for name in facts} == facts


@pytest.mark.parametrize("read", [read_image, read_header])
@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"Rows": 65535, "Columns": 65535}, f"1 to {MAX_PIXELS} pixels, but the header says 65535"),
        ({"Rows": 0}, "the header says 0 x 23"),
        ({"Rows": None}, "Rows must be a whole number"),
        ({"Rows": [37, 37]}, "Rows must be a whole number"),
        ({"NumberOfFrames": 2}, "must hold one frame, but holds several"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "must be a grey image"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "must be a grey image"),
        ({"PixelRepresentation": 1}, "must be a grey image .* of unsigned integers"),
        ({"BitsAllocated": 32}, "must store the low bits of 8 or 16"),
        ({"HighBit": 15}, "must store the low bits of 8 or 16"),
        ({"BitsStored": 17, "HighBit": 16}, "must store the low bits of 8 or 16"),
    ],
)
def test_headers_that_are_refused(
    tmp_path: Path, read: Callable[[Path], object], header: dict[str, Any], message: str
) -> None:
    path = write(tmp_path / "a.dcm", **header)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("syntax", [*UNCOMPRESSED, *LOSSLESS], ids=lambda syntax: syntax.name)
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, syntax: uid.UID) -> None:
    path = write(tmp_path / "a.dcm", syntax=syntax)
    content = path.read_bytes()
    for kept in (len(content) - 9, len(content) - 100, len(content) // 2, 200, 140):
        path.write_bytes(content[:kept])
        with pytest.raises(DataError, match=f"^{path}: ") as caught:
            read_image(path)
        assert not any(secret in str(caught.value) for secret in SECRETS)


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.name)
def test_a_frame_that_is_cut_off_is_refused(tmp_path: Path, syntax: uid.UID) -> None:
    """The DICOM file around it is whole."""
    frame = encoded(PIXELS12, 12, syntax)
    for kept in (len(frame) - 3, len(frame) // 2, len(frame) // 2 + 1, 70, 2):
        path = write(tmp_path / "a.dcm", syntax=syntax, data=frame[:kept])
        with pytest.raises(DataError, match=f"^{path}: "):
            read_image(path)


def test_more_bytes_than_pixels_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", data=PIXELS12.tobytes() + b"\0\0")
    with pytest.raises(
        DataError, match="37 x 23 pixels of 16 bits need 1702 bytes, but found 1704"
    ):
        read_image(path)


def test_values_above_the_stored_bits_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", PIXELS12 + np.uint16(3000), 12)
    with pytest.raises(DataError, match=r"must hold 37 x 23 pixels up to 4095, but holds .* up to"):
        read_image(path)


@pytest.mark.parametrize(
    "syntax",
    [
        uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless,
        uid.RLELossless,
    ],
    ids=lambda syntax: syntax.name,
)  # fmt: skip
@pytest.mark.parametrize("change", [(1, 0), (0, 1), (-1, 0)])
def test_a_size_that_contradicts_the_compressed_image_is_refused(
    tmp_path: Path, syntax: uid.UID, change: tuple[int, int]
) -> None:
    rows, columns = HEIGHT + change[0], WIDTH + change[1]
    path = write(tmp_path / "a.dcm", syntax=syntax, Rows=rows, Columns=columns)
    with pytest.raises(DataError, match=f"^{path}: "):
        read_image(path)


@pytest.mark.parametrize("syntax", [uid.JPEGLossless, uid.JPEGLosslessSV1], ids=lambda s: s.name)
def test_flipped_bytes_of_lossless_data_are_found(tmp_path: Path, syntax: uid.UID) -> None:
    """Where the pixels then take another number of bits, or leave the range; else none can tell."""
    pixels = np.zeros_like(PIXELS12)
    pixels[10:30, 5:20] = PIXELS12[10:30, 5:20]  # a breast before a background of 0
    frame = encoded(pixels, 12, syntax)
    messages = []
    for at in range(frame.index(b"\xff\xda") + 10, len(frame) - 2):
        damaged = bytearray(frame)
        damaged[at] ^= 0xFF
        path = write(tmp_path / "a.dcm", pixels, 12, syntax, bytes(damaged))
        try:
            read_image(path)
        except DataError as error:
            messages.append(str(error).removeprefix(f"{path}: "))
    assert len(messages) > 0.5 * (len(frame) - 100)
    assert any("damaged: its pixels need " in message for message in messages)
    assert any("must hold 37 x 23 pixels up to 4095" in message for message in messages)


def test_an_rle_image_of_one_plane_has_no_16_bits(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", syntax=uid.RLELossless, data=rle([PIXELS8.tobytes()]))
    with pytest.raises(DataError, match="must have a plane for each 8 of 16 bits, but has 1"):
        read_image(path)


@pytest.mark.parametrize("n_planes", [0, 3, 2**31])
def test_rle_images_of_other_planes(tmp_path: Path, n_planes: int) -> None:
    frame = encoded(PIXELS12, 12, uid.RLELossless)
    frame = n_planes.to_bytes(4, "little") + frame[4:]
    path = write(tmp_path / "a.dcm", syntax=uid.RLELossless, data=frame)
    with pytest.raises(DataError, match=f"a grey image has 1 or 2 planes, but it has {n_planes}"):
        read_image(path)


def test_several_fragments_and_frames(tmp_path: Path) -> None:
    frame = encoded(PIXELS12, 12, uid.JPEGLosslessSV1)
    dataset = dataset_of(PIXELS12, 12)
    dataset.file_meta.TransferSyntaxUID = uid.JPEGLosslessSV1
    dataset.PixelData = encapsulate([frame, frame])
    dataset["PixelData"].VR = "OB"
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(DataError, match=r"a\.dcm: "):
        read_image(tmp_path / "a.dcm")


def test_a_jpeg_of_another_kind_than_the_syntax_is_refused(tmp_path: Path) -> None:
    lossy = encoded(PIXELS8, 8, uid.JPEGBaseline8Bit)
    path = write(tmp_path / "a.dcm", PIXELS8, 8, uid.JPEGLosslessSV1, data=lossy)
    with pytest.raises(DataError, match="JPEG frame 0xC0 is not of the transfer syntax"):
        read_image(path)


def test_syntaxes_that_nobody_decodes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", syntax=uid.MPEG2MPML, data=b"\0" * 64)
    with pytest.raises(DataError, match=rf"the transfer syntax {uid.MPEG2MPML} is none that can"):
        read_image(path)


def test_a_file_without_pixels(tmp_path: Path) -> None:
    dataset = dataset_of(PIXELS12, 12)
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert read_header(tmp_path / "a.dcm")[:2] == (HEIGHT, WIDTH)
    with pytest.raises(DataError, match="it holds no pixel data"):
        read_image(tmp_path / "a.dcm")


@pytest.mark.parametrize("read", [read_image, read_header])
@pytest.mark.parametrize("group_length", [None, 2**16])
def test_a_deflated_file_may_not_fill_the_memory(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    read: Callable[[Path], object],
    group_length: int | None,
) -> None:
    """Also where the header says that the data set begins elsewhere."""
    monkeypatch.setattr(dicom, "_MAX_INFLATED", 2**16)
    path = write(tmp_path / "a.dcm", syntax=uid.DeflatedExplicitVRLittleEndian)
    np.testing.assert_array_equal(read_image(path), PIXELS12)
    content = path.read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    inflated = zlib.decompress(content[start:], -zlib.MAX_WBITS)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = packer.compress(inflated + b"\0" * 2**20) + packer.flush()
    harmless = content[start:]
    head = bytearray(content[:start])
    if group_length is not None:
        head[140:144] = (start - 144 + len(bomb)).to_bytes(4, "little")
    path.write_bytes(bytes(head) + bomb + harmless)
    with pytest.raises(DataError, match="must inflate to at most 65536 bytes"):
        read(path)


FUZZED = [uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian, *LOSSLESS]


@given(data=st.data())
def test_damaged_files_give_pixels_or_a_data_error_without_secrets(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.dcm"
    header: dict[str, Any] = {"WindowCenter": 9, "WindowWidth": 5, "PatientOrientation": ["A", "F"]}
    write(path, syntax=data.draw(st.sampled_from(FUZZED)), **header)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(132, len(content) - 1))
    content[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    path.write_bytes(content[: data.draw(st.sampled_from([len(content), at + 9]))])
    messages = []
    for read in (read_image, read_header, lambda path: file_tone(path, "window")):
        try:
            read(path)
        except DataError as error:  # any other error fails the test
            messages.append(str(error))
    assert all(message.startswith(f"{path}: ") for message in messages)
    assert not any(secret in message for secret in SECRETS for message in messages)
