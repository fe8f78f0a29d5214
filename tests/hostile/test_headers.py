"""Headers that took a reader seconds to minutes, or forever, before their counts were capped."""

import contextlib
import io
import struct
import time
import zlib
from collections.abc import Callable

import numpy as np
import pytest
import tifffile
from PIL import Image

from lookalike.errors import ImageError
from lookalike.image import Limits, decode, read_header
from lookalike.image.containers.raw import raw_format
from tests.conftest import encode, picture
from tests.hostile.conftest import limited

MAX_SECONDS = 3.0  # CPU time; the slowest takes a fifth of that, and without its cap ten times as long


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(*chunks: bytes) -> bytes:
    data = encode(picture((200, 10, 10)))
    return data[:33] + b"".join(chunks) + data[33:]


def profiles() -> bytes:
    return png(*[chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(8_000_000), 9))] * 1000)


def broken_profiles() -> bytes:
    packed = zlib.compress(bytes(8_000_000), 9)
    return png(*[chunk(b"iCCP", b"x\0\0" + packed[:-4] + b"\xff\xff\xff\xff")] * 1000)


def exif_chunks() -> bytes:
    directory = b"II*\0\x08\0\0\0\xff\xff" + struct.pack("<HHII", 0x9999, 3, 1, 1) * 5000
    return png(*[chunk(b"eXIf", directory)] * 1000)


def exif_segments() -> bytes:
    directory = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + struct.pack("<HHII", 0x9999, 3, 1, 1) * 5000
    segment = b"\xff\xe1" + struct.pack(">H", len(directory) + 2) + directory
    data = encode(picture((200, 10, 10)), "JPEG")
    return data[:2] + segment * 1000 + data[2:]


def a_million_frames() -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture((200, 10, 10))).quantize(4).save(file, "GIF")
    data = file.getvalue()
    start = data.index(b"\x2c")
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    return data[:start] + frame * 1_000_000 + b";"


def tiff_directories() -> bytes:
    """Return a HEIC with 65,536 TIFF headers, each with a directory that extends to the end of the file."""
    head = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"heic", 0, b"mif1", b"heic")
    return head + struct.pack(">I4s", 8, b"meta") + b"II*\0\x08\0\0\0\xff\xff" * 65_536


def small_boxes() -> bytes:
    head = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"avif", 0, b"mif1", b"avif")
    return head + struct.pack(">I4s", 8, b"free") * 3_000_000


def jxl_boxes() -> bytes:
    return b"\0\0\0\x0cJXL \r\n\x87\n" + struct.pack(">I4s", 8, b"free") * 3_000_000


def pages(count: int, entries: int, *, loop: bool) -> bytes:
    """Return a TIFF with many directories of many entries."""
    size = 2 + 12 * entries + 4
    entry = struct.pack("<HHII", 256, 3, 1, 8)
    parts = [b"II*\0", struct.pack("<I", 8)]
    for n in range(count):
        after = 8 + (n + 1) * size if n + 1 < count else (8 if loop else 0)
        parts.append(struct.pack("<H", entries) + entry * entries + struct.pack("<I", after))
    return b"".join(parts)


def overlapping_pages() -> bytes:
    """Return a TIFF with directories two bytes apart, each of the maximum length."""
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 0xFFFF) * 400_000


def psd_resources() -> bytes:
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, 8, 8, 8, 3) + struct.pack(">I", 0)
    blocks = (b"8BIM" + struct.pack(">HHI", 1, 0, 0)) * 2_000_000
    return head + struct.pack(">I", len(blocks)) + blocks + struct.pack(">I", 0) + struct.pack(">H", 0)


def webp_chunks() -> bytes:
    body = b"VP8X" + struct.pack("<I", 10) + bytes((2, 0, 0, 0, 9, 0, 0, 9, 0, 0))
    body += (b"ANMF" + struct.pack("<I", 0)) * 3_000_000
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


HEADERS: dict[str, Callable[[], bytes]] = {
    build.__name__: build
    for build in (
        profiles,
        broken_profiles,
        exif_chunks,
        exif_segments,
        a_million_frames,
        tiff_directories,
        small_boxes,
        jxl_boxes,
        overlapping_pages,
        psd_resources,
        webp_chunks,
    )
}
HEADERS |= {
    f"pages_{count}_{entries}_{loop}": lambda count=count, entries=entries, loop=loop: pages(  # type: ignore[misc]
        count, entries, loop=loop
    )
    for count, entries, loop in ((200_000, 1, False), (5000, 900, False), (40, 60_000, False), (1000, 10, True))
}


@limited
@pytest.mark.parametrize("name", HEADERS)
def test_a_hostile_header_is_read_fast(name: str) -> None:
    data = HEADERS[name]()
    started_at = time.process_time()
    try:
        header = read_header(data)
        assert header.frames <= 100_000
    except ImageError:
        pass
    raw_format(data)
    assert time.process_time() - started_at < MAX_SECONDS


def test_valid_headers_are_read_completely() -> None:
    frames = [Image.fromarray(np.roll(picture((200, 10, 10)), n, 0)).quantize(16) for n in range(30)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    assert read_header(file.getvalue()).frames == 30
    file = io.BytesIO()
    Image.fromarray(picture((200, 10, 10))).save(file, "TIFF", save_all=True, append_images=[frames[1]] * 200)
    assert read_header(file.getvalue()).frames == 201


def tiff_tags(data: bytes) -> list[int]:
    """Offsets of the entries of a little-endian TIFF's first directory."""
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    return [directory + 2 + 12 * n for n in range(count)]


@pytest.mark.parametrize("count", [0, 2, 3, 7, 2**31])
@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5, 7, 12])
def test_a_tiff_tag_with_another_count_or_type_is_an_image_or_a_reason(kind: int, count: int) -> None:
    """Every tag of a valid file in turn: a size that is a list, text or a fraction must not escape as a TypeError."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.full((20, 28, 3), 90, np.uint8), photometric="rgb", byteorder="<")
    data = buffer.getvalue()
    for entry in tiff_tags(data):
        damaged = bytearray(data)
        struct.pack_into("<HI", damaged, entry + 2, kind, count)
        for read in (read_header, lambda file: decode(file, limits=Limits(max_pixels=10**6)).image):
            with contextlib.suppress(ImageError):
                assert read(bytes(damaged)) is not None
