"""The composite of Photoshop files, PSD and PSB (Adobe Photoshop File Formats Specification, 2019).

Read here because Pillow takes extra channels and saved selections for colours and transparency, and knows 8 bits only;
psd-tools does the former too, and takes linear light for sRGB (measured on nine files: docs/images.md).
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import UnreadableImage
from lookalike.image.color.lab import lab_to_rgb
from lookalike.image.color.profiles import cmyk_to_rgb
from lookalike.image.color.transfer import LINEAR, Space
from lookalike.image.decoding.limits import Limits, check_memory, check_pixels, memory_of
from lookalike.image.decoding.silence import quiet_imagecodecs
from lookalike.image.decoding.types import Facts, Raster

Samples = NDArray[Any]

_BITMAP, _GREY, _INDEXED, _RGB, _CMYK, _MULTICHANNEL, _DUOTONE, _LAB = 0, 1, 2, 3, 4, 7, 8, 9
_CHANNELS = {_BITMAP: 1, _GREY: 1, _INDEXED: 1, _RGB: 3, _CMYK: 4, _DUOTONE: 1, _LAB: 3}
_NUMBERS = {8: "u1", 16: ">u2", 32: ">f4"}
_RAW, _RLE, _ZIP = 0, 1, 2
_ICC = 1039  # of the image resources
_MAX_BLOCKS = 10_000


@dataclass(frozen=True, slots=True)
class _Psd:
    """What comes before the composite. `merged_alpha`: the first channel beyond the colours is its transparency."""

    large: bool
    channels: int
    height: int
    width: int
    depth: int
    mode: int
    palette: bytes
    icc: bytes | None
    merged_alpha: bool
    start: int


def psd_facts(data: bytes) -> Facts:
    """What the header tells. Raises UnreadableImage, struct.error."""
    psd = _parsed(data)
    space = Space(transfer=LINEAR) if psd.depth == 32 else None  # of 32 bits samples are linear light
    return Facts(format="PSD", width=psd.width, height=psd.height, icc=psd.icc, space=space)


def psd_frames(data: bytes, frames: Sequence[int], limits: Limits) -> Iterator[Raster]:
    """The composite, as often as it is asked for. Raises UnreadableImage, ImageTooLarge."""
    for _ in frames:
        psd = _parsed(data)
        check_pixels(psd.width, psd.height, limits)
        colours = _CHANNELS[psd.mode]
        count = min(psd.channels, colours + psd.merged_alpha)
        depth = max(1, psd.depth // 8)
        check_memory(memory_of(psd.width * psd.height, 2 * count * depth, depth), limits)  # unpacked, then side by side
        planes = _planes(data, psd, count)
        yield _raster(psd, planes[:colours], planes[colours] if count > colours else None)


def _parsed(data: bytes) -> _Psd:
    version, channels, height, width, depth, mode = struct.unpack_from(">H6xHIIHH", data, 4)
    if version not in (1, 2):
        raise UnreadableImage(f"begins like PSD, but is of a version that is not known ({version})")
    if mode not in _CHANNELS:
        kind = "a multichannel PSD" if mode == _MULTICHANNEL else f"a PSD of colour mode {mode}"
        raise UnreadableImage(f"is {kind}, which is not supported: save it as RGB")
    if depth != 1 and depth not in _NUMBERS:
        raise UnreadableImage(f"is a PSD of {depth} bits a channel, which is not supported")
    if (depth == 1) != (mode == _BITMAP) or channels < _CHANNELS[mode]:
        raise UnreadableImage("begins like PSD, but its header is damaged")
    palette, at = _block(data, 26, ">I")
    resources, at = _block(data, at, ">I")
    layers, at = _block(data, at, ">Q" if version == 2 else ">I")
    return _Psd(
        large=version == 2,
        channels=channels,
        height=height,
        width=width,
        depth=depth,
        mode=mode,
        palette=bytes(palette),
        icc=_profile(resources),
        merged_alpha=_first_count(layers, large=version == 2) < 0,
        start=at,
    )


def _block(data: bytes, at: int, length: str) -> tuple[memoryview, int]:
    """A block that begins with its length, and where the next one begins."""
    (size,) = struct.unpack_from(length, data, at)
    start = at + struct.calcsize(length)
    return memoryview(data)[start : start + size], start + size


def _profile(resources: memoryview) -> bytes | None:
    at = 0
    for _ in range(_MAX_BLOCKS):
        if at + 12 > len(resources):
            return None
        (number,) = struct.unpack_from(">H", resources, at + 4)
        name = (resources[at + 6] + 2) & ~1  # a Pascal string of even length
        if at + 10 + name > len(resources):
            return None
        (size,) = struct.unpack_from(">I", resources, at + 6 + name)
        start = at + 10 + name
        if number == _ICC:
            return bytes(resources[start : start + size]) or None
        at = start + size + (size & 1)
    return None


def _first_count(layers: memoryview, *, large: bool) -> int:
    """The count of layers, negative where the first extra channel is the composite's transparency; 0 without layers."""
    length, width = (">Q", 8) if large else (">I", 4)
    if len(layers) < width + 2:
        return 0
    (size,) = struct.unpack_from(length, layers)
    if size:
        return int(struct.unpack_from(">h", layers, width)[0])
    # Of 16 and 32 bits the layers lie in a block of their own behind the global mask.
    at = width
    if at + 4 > len(layers):
        return 0
    at += 4 + struct.unpack_from(">I", layers, at)[0]
    for _ in range(_MAX_BLOCKS):
        if at + 14 > len(layers):
            return 0
        key = bytes(layers[at + 4 : at + 8])
        wide = large and key in (b"Lr16", b"Lr32", b"Layr")
        (size,) = struct.unpack_from(">Q" if wide else ">I", layers, at + 8)
        start = at + (16 if wide else 12)
        if key in (b"Lr16", b"Lr32") and start + 2 <= len(layers):
            return int(struct.unpack_from(">h", layers, start)[0])
        at = start + ((size + 3) & ~3)
    return 0


def _planes(data: bytes, psd: _Psd, count: int) -> list[Samples]:
    """The first `count` channels, each (H, W); what is missing is 0."""
    (packing,) = struct.unpack_from(">H", data, psd.start)
    row = (psd.width + 7) // 8 if psd.depth == 1 else psd.width * psd.depth // 8
    at = psd.start + 2
    if packing == _RAW:
        rows = memoryview(data)[at:]
    elif packing == _RLE:
        rows = memoryview(_unpacked(data, at, psd, row, count))
    elif packing == _ZIP:
        rows = memoryview(_inflated(data[at:], row * psd.height * count))
    else:
        raise UnreadableImage("is a PSD whose composite is packed in a way that is not supported")
    if not rows:
        raise UnreadableImage("stops before its first pixel")
    size = row * psd.height
    whole = np.zeros(size * count, np.uint8)
    there = rows[: size * count]
    whole[: len(there)] = np.frombuffer(there, np.uint8)
    return [_plane(whole[n * size : (n + 1) * size], psd) for n in range(count)]


def _plane(rows: NDArray[np.uint8], psd: _Psd) -> Samples:
    if psd.depth == 1:
        bits = np.unpackbits(rows.reshape(psd.height, -1), axis=1)[:, : psd.width]
        return np.asarray(bits == 0)  # 1 is black
    return rows.view(_NUMBERS[psd.depth]).reshape(psd.height, psd.width)


def _unpacked(data: bytes, at: int, psd: _Psd, row: int, count: int) -> bytearray:
    """Rows packed one by one (PackBits), behind a table of their lengths for all channels."""
    decode = quiet_imagecodecs().packbits_decode
    kind, width = (">u4", 4) if psd.large else (">u2", 2)
    wanted = psd.height * psd.channels
    lengths = np.frombuffer(data, kind, min(wanted, (len(data) - at) // width), at)
    start = at + wanted * width
    found = bytearray()
    for length in lengths[: psd.height * count].tolist():
        packed = data[start : start + length]
        # A row is never longer than it says: what unpacks to more is cut.
        line = bytes(decode(packed))[:row] if packed and length <= 2 * row + 128 else b""
        found += line.ljust(row, b"\0")
        start += length
        if start > len(data):
            break
    return found


def _inflated(packed: bytes, size: int) -> bytes:
    import zlib

    return zlib.decompressobj().decompress(packed, size)


def _raster(psd: _Psd, planes: Sequence[Samples], alpha: Samples | None) -> Raster:
    if psd.mode == _INDEXED:
        table = np.frombuffer(psd.palette[:768].ljust(768, b"\0"), np.uint8).reshape(3, 256).T
        return Raster(table[planes[0]], psd.icc, 1)
    samples = np.stack(planes, axis=2)
    if psd.mode == _LAB:
        return Raster(lab_to_rgb(samples, offset=True), None, 1)
    if psd.mode == _CMYK:
        from PIL import Image

        from lookalike.image.color.to_rgb import to_uint8

        inks = Image.fromarray(np.ascontiguousarray(255 - to_uint8(samples)), "CMYK")
        return Raster(np.asarray(cmyk_to_rgb(inks, psd.icc)), None, 1)
    return Raster(samples if alpha is None else np.dstack((samples, alpha)), psd.icc, 1)
