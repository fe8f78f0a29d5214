"""Every format, and the rules in docs/images.md."""

import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from lookalike.errors import ImageTooLarge, UnreadableImage
from lookalike.image import Limits, decode, decode_frames, read_header
from lookalike.image.decoding.exif import upright
from lookalike.types import RGB

Distance = Callable[[Any, Any], float]


def saved(image: Any, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def heic(image: RGB, **options: Any) -> bytes:
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(image)).save(file, quality=95, **options)
    return file.getvalue()


def pam(samples: Any, maximum: int) -> bytes:
    height, width, depth = samples.shape
    head = f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {depth}\nMAXVAL {maximum}\nTUPLTYPE X\nENDHDR\n"
    return head.encode() + samples.astype(np.uint8 if maximum < 256 else ">u2").tobytes()


def psd(image: RGB) -> bytes:
    height, width = image.shape[:2]
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, height, width, 8, 3)
    return head + struct.pack(">IIIH", 0, 0, 0, 0) + np.moveaxis(image, 2, 0).tobytes()


FORMATS: dict[str, Callable[[RGB], bytes]] = {
    "JPEG": lambda x: saved(x, "JPEG", quality=97, subsampling=0),
    "JPEG progressive": lambda x: saved(x, "JPEG", quality=97, subsampling=0, progressive=True),
    "JPEG CMYK": lambda x: saved(Image.fromarray(x).convert("CMYK"), "JPEG", quality=97),
    "PNG": lambda x: saved(x, "PNG"),
    "PNG 16 bit": lambda x: imagecodecs.png_encode(x.astype(np.uint16) * 257),
    "PNG alpha": lambda x: saved(Image.fromarray(x).convert("RGBA"), "PNG"),
    "WEBP": lambda x: saved(x, "WEBP", quality=97),
    "WEBP lossless": lambda x: saved(x, "WEBP", lossless=True),
    "GIF": lambda x: saved(Image.fromarray(x).quantize(256), "GIF", interlace=False),
    "TIFF": lambda x: saved(x, "TIFF"),
    "TIFF CMYK": lambda x: saved(Image.fromarray(x).convert("CMYK"), "TIFF"),
    "TIFF 16 bit": lambda x: cv2.imencode(".tiff", x[:, :, ::-1].astype(np.uint16) * 257)[1].tobytes(),
    "TIFF float": lambda x: cv2.imencode(".tiff", x[:, :, ::-1].astype(np.float32) / 255)[1].tobytes(),
    "TIFF LZW": lambda x: saved(x, "TIFF", compression="tiff_lzw"),
    "BMP": lambda x: saved(x, "BMP"),
    "AVIF": lambda x: saved(x, "AVIF", quality=95),
    "HEIC": heic,
    "JPEG2000": lambda x: saved(x, "JPEG2000"),
    "JXL": lambda x: imagecodecs.jpegxl_encode(x, distance=0.5),
    "JXL lossless": lambda x: imagecodecs.jpegxl_encode(x, lossless=True),
    "PNM": lambda x: saved(x, "PPM"),
    "PAM": lambda x: pam(x, 255),
    "ICO": lambda x: saved(x, "ICO", sizes=[(90, 60)]),
    "ICNS": lambda x: saved(Image.fromarray(x).resize((512, 512)), "ICNS"),
    "DDS": lambda x: saved(x, "DDS"),
    "SGI": lambda x: saved(x, "SGI"),
    "PCX": lambda x: saved(x, "PCX"),
    "TGA": lambda x: saved(x, "TGA"),
    "TGA packed": lambda x: saved(x, "TGA", compression="tga_rle"),
    "QOI": imagecodecs.qoi_encode,
    "PSD": psd,
}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_image(kind: str, scene: RGB, mean_difference: Distance) -> None:
    data = FORMATS[kind](scene)
    picture, header = decode(data), read_header(data)
    assert header.format == picture.format == kind.split(maxsplit=1)[0]
    assert (header.width, header.height, header.frames) == (picture.width, picture.height, 1)
    assert picture.image.dtype == np.uint8
    assert picture.image.flags.c_contiguous
    image = cv2.resize(picture.image, (90, 60), interpolation=cv2.INTER_AREA)  # ICNS is square and large
    assert mean_difference(image, scene) < (9 if kind == "GIF" else 4)


# --- orientation


def exif_block(orientation: int) -> bytes:
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


TURNED: dict[str, Callable[[RGB, int], bytes]] = {
    "JPEG": lambda x, o: saved(x, "JPEG", exif=exif_block(o), quality=97, subsampling=0),
    "PNG": lambda x, o: saved(x, "PNG", exif=exif_block(o)),
    "WEBP": lambda x, o: saved(x, "WEBP", exif=exif_block(o), quality=97),
    "TIFF": lambda x, o: saved(x, "TIFF", tiffinfo={0x0112: o}),
    "AVIF": lambda x, o: saved(x, "AVIF", exif=exif_block(o), quality=95),
    "AVIF by EXIF alone": lambda x, o: cv2.imencodeWithMetadata(
        ".avif", x[:, :, ::-1], [cv2.IMAGE_METADATA_EXIF], [np.frombuffer(exif_block(o)[6:], np.uint8)]
    )[1].tobytes(),
    "HEIC": lambda x, o: heic(x, exif=exif_block(o)),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", TURNED)
def test_every_format_is_upright(kind: str, orientation: int, scene: RGB, mean_difference: Distance) -> None:
    data = TURNED[kind](scene, orientation)
    if kind == "HEIC":  # the writer converts the EXIF orientation to the file's own, which the reader applies
        reference = np.asarray(pillow_heif.open_heif(data).to_pillow().convert("RGB"))
        assert mean_difference(decode(data).image, reference) < 1
    expected = upright(scene, orientation)
    picture, header = decode(data), read_header(data)
    assert (header.height, header.width) == expected.shape[:2] == picture.image.shape[:2]
    assert mean_difference(picture.image, expected) < 5


def test_orientation_means_what_exif_says() -> None:
    marked = np.zeros((2, 3, 3), np.uint8)
    marked[0, 0] = 255  # top left, as stored; `corners` is its position by the EXIF standard
    corners = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    for orientation, corner in corners.items():
        turned = upright(marked, orientation)
        assert turned.shape[:2] == ((3, 2) if orientation >= 5 else (2, 3))
        assert turned[corner].all(), orientation


def test_a_reduced_image_is_upright(scene: RGB) -> None:
    big = cv2.resize(scene, (900, 600))
    picture = decode(saved(big, "JPEG", exif=exif_block(6)), side=50)
    assert (picture.width, picture.height) == (600, 900)
    assert picture.image.shape[:2] == (113, 75)


# --- depth and color


def test_16_bits_are_scaled() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    expected = np.arange(256).reshape(16, 16)
    for data in (
        imagecodecs.png_encode(ramp),
        saved(ramp, "TIFF"),
        b"P5 16 16 65535\n" + ramp.astype(">u2").tobytes(),
        pam(ramp[:, :, None], 65535),
        saved(ramp, "JPEG2000"),
    ):
        assert np.abs(decode(data).image[:, :, 0].astype(int) - expected).max() <= 1
    # imagecodecs declares 16-bit JPEG XL as linear light, and it is read as such.
    light = decode(imagecodecs.jpegxl_encode(ramp, lossless=True)).image[:, :, 0] / 255
    assert np.abs(((light + 0.055) / 1.055) ** 2.4 - expected / 255)[light > 0.1].max() < 0.01


@pytest.mark.parametrize("maximum", [1, 3, 7, 100, 511, 4095])
def test_any_maximum_is_full_light(maximum: int) -> None:
    samples = np.array([[0, maximum]], np.uint16)
    plain = samples.astype(np.uint8 if maximum < 256 else ">u2").tobytes()
    for data in (f"P5 2 1 {maximum}\n".encode() + plain, pam(samples[:, :, None], maximum)):
        assert decode(data).image[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0, 1, [0, 128, 255]), (-5, 5, [0, 128, 255]), (0, 0.5, [0, 64, 128])]
)
def test_floats_are_0_to_1_or_their_own_range(low: float, high: float, expected: list[int]) -> None:
    values = np.array([[low, (low + high) / 2, high]], np.float32)
    assert decode(saved(values, "TIFF")).image[0, :, 0].tolist() == pytest.approx(expected, abs=1)


def test_nan_and_infinity_are_black() -> None:
    values = np.array([[np.nan, 0.5, 1.0, np.inf]], np.float32)
    assert decode(saved(values, "TIFF")).image.max() == 255


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_modes_give_three_channels(mode: str, kind: str, scene: RGB, mean_difference: Distance) -> None:
    source = Image.fromarray(scene).convert(mode)
    expected = np.asarray(source.convert("RGB"))
    assert mean_difference(decode(saved(source, kind)).image, expected) <= 1


def test_lab_tiff(scene: RGB, mean_difference: Distance) -> None:
    """The white point is D65, as in ImageMagick and libvips; lcms assumes D50, which differs by some levels."""
    import tifffile

    lab = cv2.cvtColor(scene.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    samples = np.stack((lab[..., 0] * 2.55, lab[..., 1] % 256, lab[..., 2] % 256), axis=2).round().astype(np.uint8)
    file = io.BytesIO()
    tifffile.imwrite(file, samples, photometric="cielab")
    assert mean_difference(decode(file.getvalue()).image, scene) < 2
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    by_lcms = ImageCms.applyTransform(Image.fromarray(scene), to_lab)
    assert mean_difference(decode(saved(by_lcms, "TIFF")).image, scene) < 6


def test_ycck_jpeg(scene: RGB, mean_difference: Distance) -> None:
    ink = np.asarray(Image.fromarray(scene).convert("CMYK"))
    data = imagecodecs.jpeg8_encode(np.ascontiguousarray(255 - ink), colorspace="CMYK", outcolorspace="YCCK", level=97)
    assert mean_difference(decode(data).image, scene) < 6


def profile_with_swapped_colors() -> bytes:
    """Return sRGB with red and blue swapped, so that the conversion is obvious."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack_from(">I", profile, 128)[0]
    for at in range(132, 132 + 12 * count, 12):
        name = bytes(profile[at : at + 4])
        profile[at : at + 4] = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}.get(name, name)
    return bytes(profile)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_profiles_are_converted_to_srgb(kind: str, scene: RGB, mean_difference: Distance) -> None:
    data = saved(scene, kind, icc_profile=profile_with_swapped_colors())
    assert mean_difference(decode(data).image, scene[:, :, ::-1]) < 8


def test_a_profile_that_is_srgb_or_broken_changes_nothing(scene: RGB) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"nonsense" * 40, srgb[:200]):
        assert np.array_equal(decode(saved(scene, "PNG", icc_profile=profile)).image, scene)


# --- transparency


def logo(color: tuple[int, int, int]) -> Image.Image:
    picture = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    picture.paste((*color, 255), (10, 10, 30, 30))
    return picture


def test_a_colored_logo_is_on_white() -> None:
    image = decode(saved(logo((200, 30, 30)), "PNG")).image
    assert image[0, 0].tolist() == [255, 255, 255]
    assert image[20, 20].tolist() == [200, 30, 30]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_a_white_logo_does_not_vanish(kind: str) -> None:
    image = decode(saved(logo((255, 255, 250)), kind, **({"lossless": True} if kind == "WEBP" else {}))).image
    assert abs(int(image[0, 0, 0]) - int(image[20, 20, 0])) > 80


def test_half_transparency_is_half_the_background() -> None:
    half = np.zeros((4, 4, 4), np.uint8)
    half[:, :, 3] = 128
    assert decode(saved(half, "PNG")).image[0, 0].tolist() == [127, 127, 127]


def test_an_alpha_that_would_hide_everything_is_ignored(scene: RGB) -> None:
    hidden = np.dstack([scene, np.zeros(scene.shape[:2], np.uint8)])
    assert np.array_equal(decode(imagecodecs.png_encode(hidden)).image, scene)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_png_transparent_color(mode: str) -> None:
    source = Image.new("RGB", (8, 8), (255, 255, 255))
    source.paste((0, 0, 0), (2, 2, 6, 6))
    source = source.convert(mode)
    transparent = source.getpixel((3, 3))
    image = decode(saved(source, "PNG", transparency=transparent)).image
    # The opaque part is white, so the background is gray.
    assert image[0, 0].tolist() == [255, 255, 255]
    assert image[3, 3].tolist() == [160, 160, 160]


# --- several frames

COLORS = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)]
ANIMATED = {
    "GIF": {},
    "WEBP": {"lossless": True},
    "PNG": {},
    "TIFF": {},
    "AVIF": {"quality": 95},
}


def animation(kind: str) -> bytes:
    first, *others = [Image.new("RGB", (32, 24), color) for color in COLORS]
    return saved(first, kind, save_all=True, append_images=others, **ANIMATED[kind])


@pytest.mark.parametrize("kind", ANIMATED)
def test_the_requested_frame(kind: str) -> None:
    data = animation(kind)
    assert read_header(data).frames == 4
    for frame, color in enumerate(COLORS):
        picture = decode(data, frame=frame)
        assert (picture.frame, picture.frames) == (frame, 4)
        assert np.abs(picture.image[12, 16].astype(int) - color).max() < 12
    with pytest.raises(UnreadableImage, match="has 4 frames"):
        decode(data, frame=4)


@pytest.mark.parametrize("kind", ANIMATED)
def test_frames_evenly_spaced(kind: str) -> None:
    data = animation(kind)
    assert [picture.frame for picture in decode_frames(data, 2)] == [0, 2]
    assert [picture.frame for picture in decode_frames(data, 9)] == [0, 1, 2, 3]
    greens = [picture.image[12, 16, 1] > 128 for picture in decode_frames(data, 4)]
    assert greens == [False, True, False, True]


# --- limits and damage


def huge(kind: str) -> bytes:
    side = 60_000
    if kind == "PNG":
        head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        chunk = b"IHDR" + head
        return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    if kind == "JPEG":
        return b"\xff\xd8\xff\xc0\x00\x11\x08" + struct.pack(">HH", side, side) + b"\x03\x01\x11\0\x02\x11\0\x03\x11\0"
    if kind == "GIF":
        return b"GIF89a" + struct.pack("<HH", side, side) + b"\0\0\0;"
    if kind == "PAM":
        return f"P7\nWIDTH {side}\nHEIGHT {side}\nDEPTH 3\nMAXVAL 255\nENDHDR\n".encode()
    if kind == "BMP":
        return b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    return f"P6 {side} {side} 255\n".encode()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "PAM", "PNM", "BMP"])
def test_a_decompression_bomb_is_refused_by_its_header(kind: str) -> None:
    with pytest.raises(ImageTooLarge, match=r"60,000 x 60,000 .* limit is 200,000,000 \(max_pixels\)"):
        decode(huge(kind))


def test_custom_limits(scene: RGB) -> None:
    data = saved(scene, "PNG")
    with pytest.raises(ImageTooLarge, match="max_pixels"):
        decode(data, limits=Limits(max_pixels=100))
    with pytest.raises(ImageTooLarge, match="max_bytes"):
        decode(data, limits=Limits(max_bytes=100))


def test_large_but_allowed_images_cause_no_warning() -> None:
    data = saved(Image.new("1", (12_000, 8_000)), "TIFF", compression="group4")  # above Pillow's limit for warnings
    assert decode(data, side=32).width == 12_000


@pytest.mark.parametrize("kind", ["JPEG", "JPEG progressive", "PNG", "BMP", "TIFF", "PNM", "PAM", "GIF"])
def test_a_truncated_file_is_decoded_in_part(kind: str, scene: RGB) -> None:
    big = cv2.resize(scene, (450, 300))
    data = FORMATS[kind](big)
    image = decode(data[: len(data) * 2 // 3]).image
    assert image.shape == big.shape
    part = slice(-80, None) if kind == "BMP" else slice(80)  # a BMP starts with its last row
    assert np.abs(image[part].astype(int) - big[part]).mean() < 16


REASONS = {
    b"": "is empty",
    b"hello, world": "is not a supported image format",
    b"\0" * 64: "only zeros",
    b"<svg xmlns='http://www.w3.org/2000/svg'/>": "SVG",
    b"<?xml version='1.0'?>\n<svg/>": "SVG",
    b"<!DOCTYPE html><html>": "web page",
    b"%PDF-1.7": "PDF",
    b"%!PS-Adobe": "PostScript",
    b"PK\x03\x04": "zip archive",
    b"\0\0\0\x20ftypisom": "video",
    b"\xff\xd8\xff\xe0": "ends before the header states its size",
    b"\x89PNG\r\n\x1a\n": "header is damaged",
}


@pytest.mark.parametrize("data", REASONS)
def test_the_reason_is_stated(data: bytes) -> None:
    with pytest.raises(UnreadableImage, match=REASONS[data]):
        decode(data)


def test_the_format_is_detected_from_the_bytes(tmp_path: Path, scene: RGB) -> None:
    from lookalike.image import read

    (tmp_path / "really_png.jpg").write_bytes(saved(scene, "PNG"))
    assert decode(read(str(tmp_path / "really_png.jpg"))).format == "PNG"


def test_nothing_is_printed_by_native_code(tmp_path: Path, scene: RGB) -> None:
    """A separate process that decodes truncated files of each format prints nothing to stderr."""
    for number, kind in enumerate(FORMATS):
        data = FORMATS[kind](scene)
        (tmp_path / f"{number}").write_bytes(data[: len(data) // 2])
    code = (
        "import sys, pathlib\nfrom lookalike.errors import ImageError\nfrom lookalike.image import decode\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):\n"
        "    try: decode(path.read_bytes())\n    except ImageError: pass\n"
    )
    source = str(Path(__file__).parents[2] / "src")
    environment = {**os.environ, "PYTHONPATH": source}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, env=environment, check=True)
    assert done.stderr == b""


def test_importing_is_light() -> None:
    heavy = {"cv2", "PIL", "pillow_heif", "imagecodecs", "pyarrow"}
    code = f"import sys, lookalike.image; print(*{heavy} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=True)
    assert done.stdout.strip() == b""


def test_threads_agree(scene: RGB) -> None:
    files = [FORMATS[kind](scene) for kind in ("GIF", "TIFF", "HEIC", "AVIF", "PNG", "JPEG CMYK")] * 5
    alone = [decode(data).image for data in files]
    with ThreadPoolExecutor(4) as pool:
        together = [picture.image for picture in pool.map(decode, files)]
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


def test_a_format_whose_package_is_absent_says_so(monkeypatch: pytest.MonkeyPatch, scene: RGB) -> None:
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(scene)).save(file)
    monkeypatch.setitem(sys.modules, "pillow_heif.as_plugin", None)
    with pytest.raises(UnreadableImage, match="is HEIC, which needs another package: pip install pillow-heif"):
        decode(file.getvalue())
