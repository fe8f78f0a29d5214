"""Two thousand damaged files of each format, decoded in a child with limited memory, give an image or a reason.

`make fuzz` runs longer and is guided by coverage.
"""

import io
import random
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import imagecodecs
import numpy as np
import pillow_heif
import pytest
import tifffile
from PIL import Image

from lookalike.errors import ImageError
from lookalike.image import DecoderFailed, GuardedDecoder, Limits
from tests.image.test_format_rules import psd

ROUNDS = 2000
SIDE = 16
NUMBERS = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\1\0\0")
LIMITS = Limits(max_pixels=2_000_000)

pytestmark = pytest.mark.fuzz


def scene() -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    y, x = np.mgrid[:20, :28]
    return np.stack((9 * x % 256, 12 * y, (x * y) % 256), axis=2).astype(np.uint8)


def pillow(form: str, mode: str = "RGB", **options: object) -> Callable[[], bytes]:
    def encode() -> bytes:
        file = io.BytesIO()
        Image.fromarray(scene()).convert(mode).save(file, form, **options)
        return file.getvalue()

    return encode


def heic() -> bytes:
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(scene())).save(file)
    return file.getvalue()


def tiff(**options: object) -> Callable[[], bytes]:
    def encode() -> bytes:
        file = io.BytesIO()
        tifffile.imwrite(file, scene(), photometric="rgb", **options)
        return file.getvalue()

    return encode


def animation() -> bytes:
    file = io.BytesIO()
    frames = [Image.fromarray(np.roll(scene(), n, 0)).quantize(16) for n in range(3)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def pam() -> bytes:
    return b"P7\nWIDTH 28\nHEIGHT 20\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n" + scene().tobytes()


def planes() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.moveaxis(scene(), 2, 0)


ENCODERS: dict[str, Callable[[], bytes]] = {
    "jpeg": pillow("JPEG"),
    "cmyk.jpeg": pillow("JPEG", "CMYK"),
    "png": pillow("PNG"),
    "16.png": lambda: bytes(imagecodecs.png_encode(scene().astype(np.uint16) * 257)),
    "webp": pillow("WEBP"),
    "alpha.webp": pillow("WEBP", "RGBA"),
    "gif": animation,
    "tiff": tiff(),
    "packed.tiff": tiff(compression="zlib", predictor=True),
    "planar.tiff": tiff(compression="lzw", rowsperstrip=4),
    "bmp": pillow("BMP"),
    "avif": pillow("AVIF"),
    "heic": heic,
    "jp2": pillow("JPEG2000"),
    "jxl": lambda: bytes(imagecodecs.jpegxl_encode(scene())),
    "ppm": pillow("PPM"),
    "pam": pam,
    "psd": lambda: psd(planes(), 3),
    "packed.psd": lambda: psd(planes(), 3, rle=True, layers=-1),
    "ico": pillow("ICO", sizes=[(16, 16)]),
    "icns": pillow("ICNS"),
    "dds": pillow("DDS"),
    "qoi": pillow("QOI"),
    "sgi": pillow("SGI"),
    "xbm": pillow("XBM", "1"),
    "pcx": pillow("PCX"),
    "tga": pillow("TGA"),
}


def damaged(whole: bytes, randomly: random.Random) -> bytes:
    """Change a few bytes, often in the header, or delete or repeat a part; repair the checksums of every second PNG."""
    data = bytearray(whole)
    head = min(len(data), 64)
    for _ in range(randomly.choice((1, 1, 2, 4, 9))):
        at = randomly.randrange(head if randomly.random() < 0.5 else len(data))
        match randomly.randrange(6):
            case 0 | 1:
                data[at] = randomly.choice((0, 1, 0x7F, 0x80, 0xFF, randomly.randrange(256)))
            case 2:
                data[at : at + 4] = randomly.choice(
                    (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\1\0\0")
                )
            case 3:
                data[at] ^= 1 << randomly.randrange(8)
            case 4:
                del data[at : at + randomly.choice((1, 2, 16, len(data)))]
            case _:
                data[at:at] = data[at : at + randomly.randint(1, 32)]
        if not data:
            return b""
        head = min(len(data), 64)
    return _repair_checksums(data) if data[:4] == b"\x89PNG" and randomly.random() < 0.5 else bytes(data)


def _repair_checksums(data: bytearray) -> bytes:
    """Correct the checksums of a PNG's chunks; decoders skip chunks with wrong ones."""
    at = 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(data)


@pytest.fixture(scope="module")
def decoder() -> Iterator[GuardedDecoder]:
    with GuardedDecoder(LIMITS, seconds=20) as guarded:
        yield guarded


@pytest.mark.parametrize("name", ENCODERS)
def test_an_image_or_a_reason(decoder: GuardedDecoder, name: str) -> None:
    whole = ENCODERS[name]()
    assert decoder.decode(whole, side=None).image.shape[2] == 3

    def decode_damaged(seed: int) -> tuple[int, int, list[str]]:
        randomly = random.Random(f"{name} {seed}")
        shown = refused = 0
        died: list[str] = []
        for _ in range(ROUNDS // 2):
            data = damaged(whole, randomly)
            try:
                picture = decoder.decode_frames(data, 2, side=SIDE, doubtful=True)[0]
            except DecoderFailed as error:
                died.append(str(error))
            except ImageError as error:
                refused += bool(str(error))
            else:
                shown += 1
                assert picture.image.dtype == np.uint8
                assert picture.image.ndim == 3
                assert picture.width * picture.height <= LIMITS.max_pixels
        return shown, refused, died

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(decode_damaged, (1, 2)))
    shown, refused = sum(result[0] for result in results), sum(result[1] for result in results)
    assert shown + refused >= ROUNDS - 2, [result[2] for result in results]
    assert shown > 0
    assert refused > 0
