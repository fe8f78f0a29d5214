"""Interpretation of samples: bits, photometric interpretation, planes, inks, transfer curves, profiles."""

import io
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

from lookalike.errors import ImageTooLarge, UnreadableImage
from lookalike.image import Limits, decode, decode_frames, read_header
from lookalike.image.color.transfer import HLG, PQ, ColorSpace, to_srgb_transfer
from lookalike.image.containers.jxl import jxl_header
from lookalike.types import RGB

TOLERANCE = 3.0  # levels of 255, in the mean


def tiff(samples: NDArray[Any], **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, samples, **options)
    return file.getvalue()


def mean_error(data: bytes, expected: NDArray[Any]) -> float:
    """Return the mean absolute error of the decoded image, in levels of 255."""
    image = decode(data).image
    assert image.shape == expected.shape
    return float(np.abs(image.astype(int) - expected).mean())


def gray_of(scene: RGB) -> RGB:
    return np.repeat(cv2.cvtColor(scene, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)


# --- TIFF


@pytest.mark.parametrize("bits", [1, 2, 4, 5, 7, 10, 12, 14, 15])
def test_bits_are_scaled_to_full_range(scene: RGB, bits: int) -> None:
    levels = np.rint(gray_of(scene)[:, :, 0] * ((2**bits - 1) / 255)).astype(np.uint8 if bits <= 8 else np.uint16)
    data = tiff(levels, bitspersample=bits, photometric="minisblack")
    expected = np.repeat(np.rint(levels * (255 / (2**bits - 1)))[:, :, None], 3, axis=2)
    assert mean_error(data, expected) < 1


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, np.int16, bool])
def test_white_is_zero(scene: RGB, kind: type) -> None:
    gray = gray_of(scene)[:, :, 0]
    samples = {
        np.uint8: 255 - gray,
        np.uint16: 65535 - gray.astype(np.uint16) * 257,
        np.float32: 1 - gray.astype(np.float32) / 255,
        np.int16: (127 - gray.astype(np.int16)) * 100,
        bool: gray < 128,
    }
    expected = gray_of(scene) if kind is not bool else np.where(gray_of(scene) < 128, 0, 255)
    if kind is np.int16:  # signed samples are stretched to their range
        expected = (expected - expected.min()) * (255 / (int(expected.max()) - int(expected.min())))
    assert mean_error(tiff(samples[kind].astype(kind), photometric="miniswhite"), expected) < TOLERANCE


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("extra", ["", "unassalpha", "assocalpha", "unspecified"])
@pytest.mark.parametrize("big", [False, True])
def test_planes_extra_samples_and_big_files(scene: RGB, planar: str, kind: type, extra: str, *, big: bool) -> None:
    full = 1 if kind is np.float32 else np.iinfo(kind).max
    samples = scene.astype(np.float64) / 255
    expected = scene.astype(np.float64)
    if extra:
        alpha = np.linspace(0.3, 1, scene.shape[1])[None, :, None].repeat(scene.shape[0], 0)
        color = samples * alpha if extra == "assocalpha" else samples
        samples = np.concatenate((color, alpha), axis=2)
        if extra != "unspecified":
            expected = scene * alpha + 255 * (1 - alpha)
    stored = (samples * full).astype(kind)
    stored = np.moveaxis(stored, 2, 0) if planar == "separate" else stored
    options: dict[str, Any] = {"photometric": "rgb", "planarconfig": planar, "bigtiff": big, "byteorder": ">"}
    data = tiff(stored, extrasamples=[extra] if extra else None, compression="zlib", **options)
    assert mean_error(data, expected) < TOLERANCE


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_cmyk(scene: RGB, kind: type) -> None:
    full = 1 if kind is np.float32 else np.iinfo(kind).max
    inks = np.concatenate((1 - scene / 255, np.zeros((*scene.shape[:2], 1))), axis=2)
    assert mean_error(tiff((inks * full).astype(kind), photometric="separated"), scene) < TOLERANCE


@pytest.mark.parametrize("photometric", ["cielab", "icclab"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_lab(scene: RGB, photometric: str, kind: type) -> None:
    lab = cv2.cvtColor(scene.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    full, step = np.iinfo(kind).max, 1 if kind is np.uint8 else 256
    chroma = lab[..., 1:] * step + (128 * step if photometric == "icclab" else 0)
    samples = np.concatenate((lab[..., :1] * full / 100, np.rint(chroma) % (256 * step)), axis=2)
    assert mean_error(tiff(np.rint(samples).astype(kind), photometric=photometric), scene) < TOLERANCE


def test_palette(scene: RGB) -> None:
    source = Image.fromarray(scene).quantize(32)
    table = np.asarray(source.getpalette()[:96], np.uint16).reshape(-1, 3).T
    table = np.pad(table, ((0, 0), (0, 256 - table.shape[1]))) * np.uint16(257)
    data = tiff(np.asarray(source), photometric="palette", colormap=table)
    assert mean_error(data, np.asarray(source.convert("RGB"))) < 1


def test_reduced_copies_are_not_frames(scene: RGB) -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as file_writer:
        file_writer.write(scene[::4, ::4], photometric="rgb", subfiletype=1)
        file_writer.write(scene, photometric="rgb")
        file_writer.write(scene[::-1], photometric="rgb", subfiletype=2)
    assert read_header(file.getvalue()).frames == 2
    first, second = decode_frames(file.getvalue(), 2)
    assert np.array_equal(first.image, scene)
    assert np.array_equal(second.image, scene[::-1])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_orientations(scene: RGB, orientation: int) -> None:
    data = tiff(scene, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    header = read_header(data)
    assert (header.width, header.height) == decode(data).image.shape[1::-1]
    assert ((header.width, header.height) == scene.shape[1::-1]) is (orientation < 5)


@pytest.mark.parametrize("compression", ["lzw", "zlib", "packbits", "jpeg", "zstd", "jpeg2000", "jpegxl", "webp"])
def test_compressions(scene: RGB, compression: str) -> None:
    assert mean_error(tiff(scene, photometric="rgb", compression=compression), scene) < 6


@pytest.mark.parametrize(("samples", "kind"), [(250, np.uint8), (13, np.float64)])
def test_images_that_need_too_much_memory_are_refused(samples: int, kind: type) -> None:
    data = bytearray(tiff(np.zeros((4, 4, samples), kind), photometric="minisblack", planarconfig="contig"))
    for tag in (256, 257):  # the largest size that max_pixels allows
        at = data.index(struct.pack("<HHI", tag, 4, 1)) if struct.pack("<HHI", tag, 4, 1) in data else -1
        at = data.index(struct.pack("<HHI", tag, 3, 1)) if at < 0 else at
        data[at : at + 12] = struct.pack("<HHII", tag, 4, 1, 10_000)
    with pytest.raises(ImageTooLarge, match="bytes of memory"):
        decode(bytes(data), limits=Limits(max_pixels=10**8))


@pytest.mark.parametrize("kind", [np.uint16, np.uint32, np.float32])
@pytest.mark.parametrize("full", [1.0, 255.0])
def test_opaque_alpha_in_any_range(scene: RGB, kind: type, full: float) -> None:
    maximum = full if kind is np.float32 else float(np.iinfo(kind).max)
    samples = np.concatenate((scene / 255, np.ones((*scene.shape[:2], 1))), axis=2) * maximum
    data = tiff(samples.astype(kind), photometric="rgb", extrasamples=["unassalpha"])
    assert mean_error(data, scene) < TOLERANCE


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_uncompressed_ycbcr_is_converted_or_refused(compression: str | None) -> None:
    red = np.full((16, 16, 3), (76, 85, 255), np.uint8)
    data = tiff(red, photometric="ycbcr", subsampling=(1, 1), compression=compression)
    try:
        image = decode(data).image
    except UnreadableImage:
        return
    assert np.abs(image.astype(int) - (254, 0, 0)).max() <= 4


def test_a_volume_is_refused() -> None:
    with pytest.raises(UnreadableImage, match="volume"):
        decode(tiff(np.zeros((4, 16, 16), np.uint8), volumetric=True, tile=(4, 16, 16), photometric="minisblack"))


# --- Photoshop


def psd(
    planes: NDArray[Any], mode: int, *, large: bool = False, layers: int = 0, rle: bool = False, icc: bytes = b""
) -> bytes:
    """Return a file with these channels, (channels, H, W)."""
    count, height, width = planes.shape
    depth = {1: 8, 2: 16, 4: 32}[planes.dtype.itemsize]
    stored = planes.astype(planes.dtype.newbyteorder(">"))
    resources = b"8BIM" + struct.pack(">HHI", 1039, 0, len(icc)) + icc + bytes(len(icc) % 2) if icc else b""
    length = ">Q" if large else ">I"
    layer_info = struct.pack(length, 2) + struct.pack(">h", layers) if layers else b""
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1 + large, count, height, width, depth, mode)
    head += struct.pack(">I", 0) + struct.pack(">I", len(resources)) + resources
    head += struct.pack(length, len(layer_info)) + layer_info
    if not rle:
        return head + struct.pack(">H", 0) + stored.tobytes()
    rows = [imagecodecs.packbits_encode(row.tobytes()) for plane in stored for row in plane]
    lengths = b"".join(struct.pack(">I" if large else ">H", len(row)) for row in rows)
    return head + struct.pack(">H", 1) + lengths + b"".join(rows)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("rle", [False, True])
@pytest.mark.parametrize("extra", [0, 1, 2])
@pytest.mark.parametrize("depth", [8, 16])
def test_extra_channels_are_ignored(scene: RGB, depth: int, extra: int, *, rle: bool, large: bool) -> None:
    planes = np.moveaxis(scene, 2, 0)
    half = np.zeros((extra, *scene.shape[:2]), np.uint8)
    half[:, :, ::2] = 255
    planes = np.concatenate((planes, half))
    if depth == 16:
        planes = planes.astype(np.uint16) * 257
    assert mean_error(psd(planes, 3, large=large, rle=rle, layers=2), scene) < 1


def test_a_negative_layer_count_means_transparency(scene: RGB) -> None:
    alpha = np.full((1, *scene.shape[:2]), 128, np.uint8)
    planes = np.concatenate((np.moveaxis(scene, 2, 0), alpha))
    assert mean_error(psd(planes, 3, layers=-1), scene * (128 / 255) + 127) < TOLERANCE


def test_other_modes(scene: RGB) -> None:
    gray = gray_of(scene)
    assert mean_error(psd(gray[None, :, :, 0], 1), gray) < 1
    assert mean_error(psd(gray[None, :, :, 0].astype(np.uint16) * 257, 8, rle=True), gray) < 1
    inks = np.concatenate((np.moveaxis(scene, 2, 0), np.full((1, *scene.shape[:2]), 255, np.uint8)))
    assert mean_error(psd(inks, 4), scene) < TOLERANCE  # 255 is no ink
    lab = cv2.cvtColor(scene.astype(np.float32) / 255, cv2.COLOR_RGB2Lab) * (2.55, 1, 1) + (0, 128, 128)
    assert mean_error(psd(np.moveaxis(np.rint(lab).astype(np.uint8), 2, 0), 9), scene) < TOLERANCE
    linear = np.where(scene / 255 <= 0.04045, scene / 255 / 12.92, ((scene / 255 + 0.055) / 1.055) ** 2.4)
    assert mean_error(psd(np.moveaxis(linear, 2, 0).astype(np.float32), 3), scene) < 1
    with pytest.raises(UnreadableImage, match="multichannel"):
        decode(psd(inks, 7))


@pytest.mark.parametrize("rle", [False, True])
def test_a_truncated_file_is_decoded_in_part(scene: RGB, *, rle: bool) -> None:
    data = psd(np.moveaxis(scene, 2, 0), 3, rle=rle)
    image = decode(data[: len(data) * 2 // 3]).image
    assert np.array_equal(image[:, :, 0], scene[:, :, 0])
    assert not image[-4:, :, 2].any()


def test_a_file_without_its_composite_is_refused(scene: RGB) -> None:
    data = psd(np.moveaxis(scene, 2, 0), 3)
    with pytest.raises(UnreadableImage, match="stops before"):
        decode(data[: len(data) - scene.size])


# --- profiles and curves


def swapped_profile() -> bytes:
    """Return a profile that changes every color: red and blue are swapped."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


def test_the_parts_of_a_jpeg_profile_are_joined_by_number(scene: RGB) -> None:
    file = io.BytesIO()
    Image.fromarray(scene).save(file, "JPEG", quality=98)
    data, icc = file.getvalue(), swapped_profile()
    third = len(icc) // 3
    parts = [icc[:third], icc[third : 2 * third], icc[2 * third :]]
    chunks = [
        b"\xff\xe2" + struct.pack(">H", len(part) + 16) + b"ICC_PROFILE\0" + bytes((n, 3)) + part
        for n, part in enumerate(parts, 1)
    ]
    straight, shuffled = (
        decode(data[:2] + b"".join(chunks[n] for n in order) + data[2:]).image for order in ((0, 1, 2), (2, 0, 1))
    )
    assert np.array_equal(straight, shuffled)
    assert np.abs(straight.astype(int) - scene).mean() > 20


def test_a_jpeg_of_12_bits(scene: RGB) -> None:
    levels = np.rint(scene.astype(np.float64) * (4095 / 255)).astype(np.uint16)
    assert mean_error(imagecodecs.jpeg8_encode(levels, level=98, bitspersample=12), scene) < 4


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_with(image: NDArray[Any], *chunks: bytes) -> bytes:
    data = bytes(imagecodecs.png_encode(image))
    return data[:33] + b"".join(chunks) + data[33:]


def linear_of(scene: RGB) -> NDArray[np.uint16]:
    share = scene / 255
    light = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return np.rint(light * 65535).astype(np.uint16)


def test_png_gamma_and_code_points(scene: RGB) -> None:
    linear = linear_of(scene)
    assert mean_error(png_with(linear, chunk(b"gAMA", struct.pack(">I", 100_000))), scene) < 1
    assert mean_error(png_with(linear, chunk(b"cICP", bytes((1, 8, 0, 1)))), scene) < 1
    plain = chunk(b"sRGB", b"\0")
    assert np.array_equal(decode(png_with(scene, chunk(b"gAMA", struct.pack(">I", 100_000)), plain)).image, scene)
    assert np.array_equal(decode(png_with(scene, chunk(b"gAMA", struct.pack(">I", 45_455)))).image, scene)


def test_code_points_outrank_a_profile(scene: RGB) -> None:
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(swapped_profile()))
    assert np.array_equal(decode(png_with(scene, chunk(b"cICP", bytes((1, 13, 0, 1))), profile)).image, scene)


def test_alpha_is_not_changed_by_the_transfer_curve(scene: RGB) -> None:
    alpha = np.full((*scene.shape[:2], 1), 32768, np.uint16)
    data = png_with(np.concatenate((linear_of(scene), alpha), axis=2), chunk(b"cICP", bytes((1, 8, 0, 1))))
    assert mean_error(data, scene * 0.5 + 127.5) < TOLERANCE


def test_high_dynamic_range_is_tone_mapped(scene: RGB) -> None:
    """Reference white, a signal of .58 in PQ and .75 in HLG, is mapped to nearly white; the curve is monotonic."""
    for transfer, white in ((PQ, 0.5807), (HLG, 0.75)):
        ramp = np.linspace(0, 1, 256)[None, :, None].repeat(3, 2).astype(np.float32)
        shown = to_srgb_transfer(ramp, ColorSpace(9, transfer))[0, :, 0].astype(int)
        assert (np.diff(shown) >= 0).all()
        assert 220 <= shown[round(white * 255)] <= 240
        assert shown[-1] >= 250 > shown[round(white * 255)]


def test_wide_primaries_are_converted() -> None:
    """sRGB's red, expressed in P3, is converted back to pure red."""
    as_p3 = np.array([[[0.9176, 0.2003, 0.1386]]], np.float32)
    assert np.abs(to_srgb_transfer(as_p3, ColorSpace(12, 13))[0, 0].astype(int) - (255, 0, 0)).max() <= 4


def test_jpeg_xl_transfer_curve(scene: RGB) -> None:
    assert jxl_header(imagecodecs.jpegxl_encode(scene)).space.is_srgb
    data = imagecodecs.jpegxl_encode(linear_of(scene), lossless=True)
    assert jxl_header(data).space == ColorSpace(transfer=8)
    assert mean_error(data, scene) < 1
    with_alpha = np.concatenate((scene, scene[:, :, :1]), axis=2)
    header = jxl_header(imagecodecs.jpegxl_encode(with_alpha))
    assert (header.width, header.height, header.profile_missing) == (scene.shape[1], scene.shape[0], False)


# --- other formats


def test_set_bits_of_an_xbm_are_black() -> None:
    image = np.zeros((8, 16), bool)
    image[:, :8] = True  # True is white
    file = io.BytesIO()
    Image.fromarray(image).save(file, "XBM")
    first, second = (int(word, 16) for word in re.findall(rb"0x[0-9a-f]+", file.getvalue())[:2])
    shown = decode(file.getvalue()).image[:, :, 0]
    assert bool(shown[0, 0] == 0) is bool(first & 1)
    assert bool(shown[0, 8] == 0) is bool(second & 1)
    assert shown[0, 0] != shown[0, 8]


def test_faint_alpha_over_a_single_color_is_the_image() -> None:
    alpha = np.zeros((40, 40, 1), np.uint8)
    alpha[10:30, 10:30] = 20
    faint = decode(
        bytes(imagecodecs.png_encode(np.concatenate((np.zeros((40, 40, 3), np.uint8), alpha), axis=2)))
    ).image
    assert faint[0, 0, 0] == 255
    assert 230 <= faint[20, 20, 0] <= 240
    hidden_colors = np.arange(40 * 40 * 3).reshape(40, 40, 3).astype(np.uint8)
    assert np.array_equal(
        decode(bytes(imagecodecs.png_encode(np.concatenate((hidden_colors, alpha), axis=2)))).image, hidden_colors
    )


CASES = {
    "tiff": "big_be cielab16 icclab8 icclab16 rgb16_planar rgb10 rgb12 rgb14 cmyk16_extra cmyk32f c_jpegxl c_jpeg2000"
    " thumbfirst",
    "psd": "rgb8_5ch_rle cmyk8_5ch_rle lab8_4ch_rle rgb8_4ch_selection_rle rgb16_rle rgb16_raw rgb32_raw rgb8big_rle",
    "jpeg": "icc_chunks_shuffled",
    "jxl": "jx_p3_lossy jx_pro_lossy",
    "png": "gama_linear",
}
GRAY_CASES = (
    ("tiff", "gray12"),
    ("tiff", "gray16_white"),
    ("tiff", "gray32f_white"),
    ("psd", "gray16_rle"),
    ("jpeg", "j_12bit"),
)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in CASES.items() for name in names.split()])
def test_real_files(data: Path, kind: str, name: str) -> None:
    (file,) = (path for path in (data / "cases" / kind).iterdir() if path.stem == name)
    expected = decode((data / "cases" / kind / "ref.png").read_bytes()).image
    assert mean_error(file.read_bytes(), expected) < TOLERANCE + 0.5


@pytest.mark.parametrize(("kind", "name"), GRAY_CASES)
def test_real_gray_files(data: Path, kind: str, name: str) -> None:
    (file,) = (path for path in (data / "cases" / kind).iterdir() if path.stem == name)
    expected = gray_of(decode((data / "cases" / kind / "ref.png").read_bytes()).image)
    assert mean_error(file.read_bytes(), expected) < TOLERANCE


def test_a_lossless_jpeg_xl_with_a_profile_is_refused_with_the_reason(data: Path) -> None:
    with pytest.raises(UnreadableImage, match="JPEG XL image in the colors of a profile"):
        decode((data / "cases" / "jxl" / "jx_pro_lossless.jxl").read_bytes())
