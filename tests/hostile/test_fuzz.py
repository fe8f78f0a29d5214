"""Two thousand damaged files of each format, in a child process whose memory is limited: a picture or a reason.

`make fuzz` runs longer, guided by what is covered.
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
from tests.image.test_as_said import psd

ROUNDS = 2000
SIDE = 16
NUMBERS = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\1\0\0")
LIMITS = Limits(max_pixels=2_000_000)

pytestmark = pytest.mark.fuzz


def scene() -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    y, x = np.mgrid[:20, :28]
    return np.stack((9 * x % 256, 12 * y, (x * y) % 256), axis=2).astype(np.uint8)


def pillow(form: str, mode: str = "RGB", **options: object) -> Callable[[], bytes]:
    def made() -> bytes:
        file = io.BytesIO()
        Image.fromarray(scene()).convert(mode).save(file, form, **options)
        return file.getvalue()

    return made


def heic() -> bytes:
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(scene())).save(file)
    return file.getvalue()


def tiff(**options: object) -> Callable[[], bytes]:
    def made() -> bytes:
        file = io.BytesIO()
        tifffile.imwrite(file, scene(), photometric="rgb", **options)
        return file.getvalue()

    return made


def animation() -> bytes:
    file = io.BytesIO()
    frames = [Image.fromarray(np.roll(scene(), n, 0)).quantize(16) for n in range(3)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def pam() -> bytes:
    return b"P7\nWIDTH 28\nHEIGHT 20\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n" + scene().tobytes()


def planes() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.moveaxis(scene(), 2, 0)


FORMS: dict[str, Callable[[], bytes]] = {
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
    """A few bytes changed, often in the head; a part cut, doubled or moved; a checksum mended in one PNG of two."""
    found = bytearray(whole)
    head = min(len(found), 64)
    for _ in range(randomly.choice((1, 1, 2, 4, 9))):
        at = randomly.randrange(head if randomly.random() < 0.5 else len(found))
        match randomly.randrange(6):
            case 0 | 1:
                found[at] = randomly.choice((0, 1, 0x7F, 0x80, 0xFF, randomly.randrange(256)))
            case 2:
                found[at : at + 4] = randomly.choice(
                    (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\1\0\0")
                )
            case 3:
                found[at] ^= 1 << randomly.randrange(8)
            case 4:
                del found[at : at + randomly.choice((1, 2, 16, len(found)))]
            case _:
                found[at:at] = found[at : at + randomly.randint(1, 32)]
        if not found:
            return b""
        head = min(len(found), 64)
    return _mended(found) if found[:4] == b"\x89PNG" and randomly.random() < 0.5 else bytes(found)


def _mended(data: bytearray) -> bytes:
    """With the checksums of a PNG's chunks as they must be, for the damage to be looked at at all."""
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
    with GuardedDecoder(LIMITS, seconds=20) as made:
        yield made


@pytest.mark.parametrize("name", FORMS)
def test_a_picture_or_a_reason(decoder: GuardedDecoder, name: str) -> None:
    whole = FORMS[name]()
    assert decoder.decode(whole, side=None).image.shape[2] == 3

    def some(seed: int) -> tuple[int, int, list[str]]:
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
        found = list(pool.map(some, (1, 2)))
    shown, refused = sum(one[0] for one in found), sum(one[1] for one in found)
    assert shown + refused >= ROUNDS - 2, [one[2] for one in found]
    assert shown > 0
    assert refused > 0
