"""Decoding arbitrary bytes raises nothing but ImageError."""

import io
import random
from typing import Any

import imagecodecs
import numpy as np
import pillow_heif
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lookalike.errors import ImageError
from lookalike.image import Limits, decode, decode_frames, read_header

SMALL = Limits(max_pixels=1_100_000)  # an ICNS is 1024 x 1024


def sources() -> dict[str, bytes]:
    down, across = np.mgrid[0:12, 0:16]
    image = np.stack([down * 20, across * 15, down + across], axis=2).astype(np.uint8)
    picture = Image.fromarray(image)
    exif = Image.Exif()
    exif[0x0112] = 6

    def saved(kind: str, **options: Any) -> bytes:
        file = io.BytesIO()
        picture.convert(options.pop("mode", "RGB")).save(file, kind, **options)
        return file.getvalue()

    heic = io.BytesIO()
    pillow_heif.from_pillow(picture.resize((32, 32))).save(heic)
    others = [picture.rotate(180)]
    return {
        "jpeg": saved("JPEG", exif=exif.tobytes()),
        "progressive": saved("JPEG", progressive=True),
        "cmyk": saved("JPEG", mode="CMYK"),
        "png": saved("PNG", exif=exif.tobytes()),
        "palette": saved("PNG", mode="P"),
        "apng": saved("PNG", save_all=True, append_images=others),
        "webp": saved("WEBP"),
        "webp alpha": saved("WEBP", mode="RGBA"),
        "webp animated": saved("WEBP", save_all=True, append_images=others),
        "gif": saved("GIF", save_all=True, append_images=others),
        "tiff": saved("TIFF", compression="tiff_lzw"),
        "tiff plain": saved("TIFF", tiffinfo={0x0112: 6}),
        "tiff jpeg": saved("TIFF", compression="jpeg"),
        "bmp": saved("BMP"),
        "avif": saved("AVIF"),
        "heic": heic.getvalue(),
        "jp2": saved("JPEG2000"),
        "jxl": imagecodecs.jpegxl_encode(image),
        "ppm": saved("PPM"),
        "pam": b"P7\nWIDTH 2\nHEIGHT 2\nDEPTH 3\nMAXVAL 7\nENDHDR\n" + bytes(range(12)),
        "ico": saved("ICO", sizes=[(16, 12)]),
        "icns": saved("ICNS", sizes=[(16, 16)]),
        "dds": saved("DDS"),
        "sgi": saved("SGI"),
        "pcx": saved("PCX"),
        "tga": saved("TGA"),
        "qoi": imagecodecs.qoi_encode(image),
        "xbm": saved("XBM", mode="1"),
    }


SOURCES = sources()


def try_all(data: bytes) -> None:
    for attempt in (
        lambda: read_header(data),
        lambda: decode(data, limits=SMALL),
        lambda: decode(data, side=4, limits=SMALL),
        lambda: decode_frames(data, 3, limits=SMALL),
    ):
        try:
            attempt()
        except ImageError as error:
            message = str(error)
            assert message, "an error without a reason"


@pytest.mark.parametrize("kind", SOURCES)
def test_every_kind_mutated(kind: str) -> None:
    """Bytes are changed, removed, inserted and truncated: 60 variants of each kind, with a fixed seed."""
    decode(SOURCES[kind], limits=SMALL)
    dice = random.Random(kind)
    for _ in range(60):
        data = bytearray(SOURCES[kind])
        for _ in range(dice.randint(1, 6)):
            at = dice.randrange(len(data))
            match dice.randrange(4):
                case 0:
                    data[at] = dice.randrange(256)
                case 1:
                    data[at : at + dice.randint(1, 8)] = b""
                case 2:
                    data[at:at] = dice.randbytes(dice.randint(1, 8))
                case _:
                    data[at : at + 4] = dice.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"])
            if not data:
                break
        if dice.random() < 0.3:
            del data[dice.randrange(len(data) + 1) :]
        try_all(bytes(data))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(SOURCES)), st.integers(2, 40), st.binary(max_size=200))
def test_a_valid_beginning_with_random_bytes(kind: str, length: int, rest: bytes) -> None:
    try_all(SOURCES[kind][:length] + rest)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    try_all(data)
