"""Write an image in every format, decode it, and update the table of errors in docs/images.md; a test compares it.

    python scripts/write_images.py

The reference is the image that was written by the named writer; errors are means over all samples, of 255 levels.
"""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image

TARGET = Path(__file__).parent.parent / "docs" / "images.md"
BEGIN, END = "<!-- written by scripts/write_images.py -->", "<!-- end -->"
CLASSES = (0, 1, 3, 6)
ROOT = Path(__file__).parents[1]

Row = tuple[str, str, bytes, NDArray[Any]]


def table() -> str:
    """Return the table; each row has the class of its error."""
    from lookalike.image import decode

    lines = [BEGIN, "", "| file | written by | mean error of 255 |", "|---|---|---|"]
    for name, writer, data, expected in rows():
        image = decode(data).image
        error = float(np.abs(image.astype(np.float64) - expected).mean()) if image.shape == expected.shape else 255.0
        lines.append(f"| {name} | {writer} | {_error_class(error)} |")
    return "\n".join([*lines, "", END])


def page() -> str:
    """Return the updated docs/images.md."""
    before, _, rest = TARGET.read_text(encoding="utf-8").partition(BEGIN)
    return before + table() + rest.partition(END)[2]


def _error_class(error: float) -> str:
    if error < 0.01:
        return "0"
    return next((f"≤ {limit}" for limit in CLASSES[1:] if error <= limit), f"**{error:.0f}**")


def scene() -> NDArray[np.uint8]:
    """Return smooth colors with a few edges, (96, 128, 3)."""
    y, x = np.mgrid[:96, :128].astype(np.float32)
    waves = (np.sin(x / 19 + y / 31), np.cos(x / 23 - y / 17), np.sin((x + y) / 29))
    image = np.stack([127 + 110 * wave for wave in waves], axis=2)
    image[30:60, 40:90] = (210, 60, 40)
    return np.rint(image).astype(np.uint8)


def rows() -> Iterator[Row]:
    """Yield name, writer, bytes and the expected image."""
    image = scene()
    gray = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
    yield from _pillow_rows(image, gray)
    yield from _tiff_rows(image, gray)
    yield from _other_rows(image, gray)


def _pillow_rows(image: NDArray[np.uint8], gray: NDArray[np.uint8]) -> Iterator[Row]:
    formats: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
        ("JPEG, quality 95", "JPEG", "RGB", {"quality": 95}),
        ("JPEG, progressive", "JPEG", "RGB", {"quality": 95, "progressive": True}),
        ("JPEG, gray", "JPEG", "L", {"quality": 95}),
        ("JPEG, CMYK", "JPEG", "CMYK", {"quality": 95}),
        ("PNG", "PNG", "RGB", {}),
        ("PNG, gray", "PNG", "L", {}),
        ("PNG, opaque alpha", "PNG", "RGBA", {}),
        ("WebP, lossless", "WEBP", "RGB", {"lossless": True}),
        ("WebP, quality 95", "WEBP", "RGB", {"quality": 95}),
        ("AVIF, quality 95", "AVIF", "RGB", {"quality": 95}),
        ("BMP", "BMP", "RGB", {}),
        ("JPEG 2000, lossless", "JPEG2000", "RGB", {}),
        ("PNM", "PPM", "RGB", {}),
        ("DDS", "DDS", "RGB", {}),
        ("QOI", "QOI", "RGB", {}),
        ("SGI", "SGI", "RGB", {}),
        ("PCX", "PCX", "RGB", {}),
        ("TGA", "TGA", "RGB", {"compression": "tga_rle"}),
    )
    for name, format_name, mode, options in formats:
        file = io.BytesIO()
        source = Image.fromarray(image).convert(mode)
        source.save(file, format_name, **options)
        yield name, "Pillow", file.getvalue(), gray if mode == "L" else image
    file = io.BytesIO()
    palette = Image.fromarray(image).quantize(64)
    palette.save(file, "GIF")
    yield "GIF", "Pillow", file.getvalue(), np.asarray(palette.convert("RGB"))
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(image)).save(file, quality=95)
    yield "HEIC, quality 95", "pillow-heif", file.getvalue(), image


def _tiff_rows(image: NDArray[np.uint8], gray: NDArray[np.uint8]) -> Iterator[Row]:
    from tests.image.test_format_rules import tiff

    for bits in (1, 4, 10, 12, 14):
        levels = np.rint(gray[:, :, 0] * ((2**bits - 1) / 255)).astype(np.uint8 if bits <= 8 else np.uint16)
        expected = np.repeat(np.rint(levels * (255 / (2**bits - 1)))[:, :, None], 3, axis=2)
        yield (
            f"TIFF, {bits} bit{'s' * (bits > 1)}",
            "tifffile",
            tiff(levels, bitspersample=bits, photometric="minisblack"),
            expected,
        )
    wide = image.astype(np.uint16) * 257
    yield (
        "TIFF, 16 bits, planes, BigTIFF",
        "tifffile",
        tiff(np.moveaxis(wide, 2, 0), photometric="rgb", planarconfig="separate", bigtiff=True, byteorder=">"),
        image,
    )
    yield "TIFF, floats", "tifffile", tiff((image / 255).astype(np.float32), photometric="rgb"), image
    yield "TIFF, white is zero", "tifffile", tiff(255 - gray[:, :, 0], photometric="miniswhite"), gray
    inks = np.concatenate((255 - image, np.zeros_like(image[:, :, :1])), axis=2)
    yield "TIFF, CMYK", "tifffile", tiff(inks, photometric="separated"), image
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    steps = np.concatenate((lab[..., :1] * 655.35, np.rint(lab[..., 1:] * 256) % 65536), axis=2)
    yield "TIFF, CIELAB, 16 bits", "tifffile", tiff(np.rint(steps).astype(np.uint16), photometric="cielab"), image
    for compression in ("lzw", "zlib", "zstd", "jpeg2000", "jpegxl"):
        yield f"TIFF, {compression}", "tifffile", tiff(image, photometric="rgb", compression=compression), image


def _other_rows(image: NDArray[np.uint8], gray: NDArray[np.uint8]) -> Iterator[Row]:
    from tests.image.test_format_rules import chunk, linear_of, png_with, psd

    planes = np.moveaxis(image, 2, 0)
    yield "PSD, 8 bits", "our test", psd(planes, 3, rle=True), image
    yield "PSD, 16 bits", "our test", psd(planes.astype(np.uint16) * 257, 3), image
    yield "PSB, saved selection", "our test", psd(np.concatenate((planes, planes[:1])), 3, large=True), image
    twelve = np.rint(image.astype(np.float64) * (4095 / 255)).astype(np.uint16)
    yield "JPEG, 12 bits", "imagecodecs", bytes(imagecodecs.jpeg8_encode(twelve, level=98, bitspersample=12)), image
    yield "PNG, 16 bits", "imagecodecs", bytes(imagecodecs.png_encode(image.astype(np.uint16) * 257)), image
    yield (
        "PNG, linear light by gAMA",
        "imagecodecs",
        png_with(linear_of(image), chunk(b"gAMA", (100_000).to_bytes(4, "big"))),
        image,
    )
    yield (
        "PNG, linear light by cICP",
        "imagecodecs",
        png_with(linear_of(image), chunk(b"cICP", bytes((1, 8, 0, 1)))),
        image,
    )
    yield "JPEG XL, lossless", "imagecodecs", bytes(imagecodecs.jpegxl_encode(image, lossless=True)), image
    yield (
        "JPEG XL, linear light, 16 bits",
        "imagecodecs",
        bytes(imagecodecs.jpegxl_encode(linear_of(image), lossless=True)),
        image,
    )
    header = f"P7\nWIDTH {image.shape[1]}\nHEIGHT {image.shape[0]}\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n"
    yield "PAM", "our test", header.encode() + image.tobytes(), image
    bits = np.where(gray[:, :, :1] > 127, 255, 0).astype(np.uint8)
    packed = np.packbits(bits[:, :, 0] == 0, axis=1, bitorder="little")
    values = ", ".join(f"0x{byte:02x}" for byte in packed.ravel())
    size = f"#define x_width {image.shape[1]}\n#define x_height {image.shape[0]}\n"
    yield "XBM", "our test", f"{size}static char x_bits[] = {{\n{values}}};\n".encode(), np.repeat(bits, 3, axis=2)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    TARGET.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"written: {TARGET}\n")
