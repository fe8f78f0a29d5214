"""Read the composite of Photoshop files, PSD and PSB (Adobe Photoshop File Formats Specification, 2019).

Pillow interprets extra channels and saved selections as colors and transparency, and supports 8 bits only; psd-tools
does the former too, and treats linear light as sRGB (measured on nine files: docs/images.md).
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
from lookalike.image.color.transfer import LINEAR, ColorSpace
from lookalike.image.decoding.limits import Limits, check_memory, check_pixels, decoding_memory
from lookalike.image.decoding.silence import load_imagecodecs
from lookalike.image.decoding.types import DecodedSamples, ImageEncoding

Samples = NDArray[Any]

_BITMAP, _GRAY, _INDEXED, _RGB, _CMYK, _MULTICHANNEL, _DUOTONE, _LAB = 0, 1, 2, 3, 4, 7, 8, 9
_CHANNELS = {_BITMAP: 1, _GRAY: 1, _INDEXED: 1, _RGB: 3, _CMYK: 4, _DUOTONE: 1, _LAB: 3}
_SAMPLE_TYPES = {8: "u1", 16: ">u2", 32: ">f4"}
_RAW, _RLE, _ZIP = 0, 1, 2
_ICC = 1039  # id of the profile among the image resources
_MAX_BLOCKS = 10_000


@dataclass(frozen=True, slots=True)
class _Psd:
    """The sections before the composite.

    `merged_alpha`: the first channel after the colors is the transparency. `start`: byte offset of the composite.
    """

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


def psd_encoding(data: bytes) -> ImageEncoding:
    """Read how the image is encoded. Raises UnreadableImage, struct.error."""
    psd = _parse_header(data)
    space = ColorSpace(transfer=LINEAR) if psd.depth == 32 else None  # 32-bit samples are linear light
    return ImageEncoding(format="PSD", width=psd.width, height=psd.height, icc=psd.icc, space=space)


def psd_frames(data: bytes, frames: Sequence[int], limits: Limits) -> Iterator[DecodedSamples]:
    """Yield the composite once per requested frame. Raises UnreadableImage, ImageTooLarge."""
    for _ in frames:
        psd = _parse_header(data)
        check_pixels(psd.width, psd.height, limits)
        colors = _CHANNELS[psd.mode]
        count = min(psd.channels, colors + psd.merged_alpha)
        depth = max(1, psd.depth // 8)
        # Channels are unpacked, then interleaved: they are in memory twice.
        check_memory(decoding_memory(psd.width * psd.height, 2 * count * depth, depth), limits)
        planes = _read_planes(data, psd, count)
        yield _to_samples(psd, planes[:colors], planes[colors] if count > colors else None)


def _parse_header(data: bytes) -> _Psd:
    version, channels, height, width, depth, mode = struct.unpack_from(">H6xHIIHH", data, 4)
    if version not in (1, 2):
        raise UnreadableImage(f"begins like PSD, but has an unknown version ({version})")
    if mode not in _CHANNELS:
        kind = "a multichannel PSD" if mode == _MULTICHANNEL else f"a PSD of color mode {mode}"
        raise UnreadableImage(f"is {kind}, which is not supported: save it as RGB")
    if depth != 1 and depth not in _SAMPLE_TYPES:
        raise UnreadableImage(f"is a PSD with {depth} bits per channel, which is not supported")
    if (depth == 1) != (mode == _BITMAP) or channels < _CHANNELS[mode]:
        raise UnreadableImage("begins like PSD, but its header is damaged")
    palette, at = _read_block(data, 26, ">I")
    resources, at = _read_block(data, at, ">I")
    layers, at = _read_block(data, at, ">Q" if version == 2 else ">I")
    return _Psd(
        large=version == 2,
        channels=channels,
        height=height,
        width=width,
        depth=depth,
        mode=mode,
        palette=bytes(palette),
        icc=_find_profile(resources),
        merged_alpha=_layer_count(layers, large=version == 2) < 0,
        start=at,
    )


def _read_block(data: bytes, at: int, length: str) -> tuple[memoryview, int]:
    """Return a length-prefixed block and the position of the next one."""
    (size,) = struct.unpack_from(length, data, at)
    start = at + struct.calcsize(length)
    return memoryview(data)[start : start + size], start + size


def _find_profile(resources: memoryview) -> bytes | None:
    at = 0
    for _ in range(_MAX_BLOCKS):
        if at + 12 > len(resources):
            return None
        (number,) = struct.unpack_from(">H", resources, at + 4)
        name = (resources[at + 6] + 2) & ~1  # a Pascal string padded to even length
        if at + 10 + name > len(resources):
            return None
        (size,) = struct.unpack_from(">I", resources, at + 6 + name)
        start = at + 10 + name
        if number == _ICC:
            return bytes(resources[start : start + size]) or None
        at = start + size + (size & 1)
    return None


def _layer_count(layers: memoryview, *, large: bool) -> int:
    """Return the layer count, negative when the first extra channel is the transparency; 0 without layers."""
    length, width = (">Q", 8) if large else (">I", 4)
    if len(layers) < width + 2:
        return 0
    (size,) = struct.unpack_from(length, layers)
    if size:
        return int(struct.unpack_from(">h", layers, width)[0])
    # With 16 and 32 bits, the layers are in a separate block after the global mask.
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


def _read_planes(data: bytes, psd: _Psd, count: int) -> list[Samples]:
    """Return the first `count` channels, each (H, W); missing samples are 0."""
    (packing,) = struct.unpack_from(">H", data, psd.start)
    row = (psd.width + 7) // 8 if psd.depth == 1 else psd.width * psd.depth // 8
    at = psd.start + 2
    if packing == _RAW:
        rows = memoryview(data)[at:]
    elif packing == _RLE:
        rows = memoryview(_unpack_rows(data, at, psd, row, count))
    elif packing == _ZIP:
        rows = memoryview(_inflate(data[at:], row * psd.height * count))
    else:
        raise UnreadableImage("is a PSD with an unsupported compression of its composite")
    if not rows:
        raise UnreadableImage("stops before its first pixel: the file is truncated")
    size = row * psd.height
    whole = np.zeros(size * count, np.uint8)
    available = rows[: size * count]
    whole[: len(available)] = np.frombuffer(available, np.uint8)
    return [_to_plane(whole[n * size : (n + 1) * size], psd) for n in range(count)]


def _to_plane(rows: NDArray[np.uint8], psd: _Psd) -> Samples:
    if psd.depth == 1:
        bits = np.unpackbits(rows.reshape(psd.height, -1), axis=1)[:, : psd.width]
        return np.asarray(bits == 0)  # a set bit is black
    return rows.view(_SAMPLE_TYPES[psd.depth]).reshape(psd.height, psd.width)


def _unpack_rows(data: bytes, at: int, psd: _Psd, row: int, count: int) -> bytearray:
    """Decode PackBits rows, which follow a table of the row lengths of all channels."""
    decode = load_imagecodecs().packbits_decode
    kind, width = (">u4", 4) if psd.large else (">u2", 2)
    row_count = psd.height * psd.channels
    lengths = np.frombuffer(data, kind, min(row_count, (len(data) - at) // width), at)
    start = at + row_count * width
    unpacked = bytearray()
    for length in lengths[: psd.height * count].tolist():
        packed = data[start : start + length]
        # Rows that unpack to more than their length are cut.
        line = bytes(decode(packed))[:row] if packed and length <= 2 * row + 128 else b""
        unpacked += line.ljust(row, b"\0")
        start += length
        if start > len(data):
            break
    return unpacked


def _inflate(packed: bytes, size: int) -> bytes:
    import zlib

    return zlib.decompressobj().decompress(packed, size)


def _to_samples(psd: _Psd, planes: Sequence[Samples], alpha: Samples | None) -> DecodedSamples:
    if psd.mode == _INDEXED:
        table = np.frombuffer(psd.palette[:768].ljust(768, b"\0"), np.uint8).reshape(3, 256).T
        return DecodedSamples(table[planes[0]], psd.icc, 1)
    samples = np.stack(planes, axis=2)
    if psd.mode == _LAB:
        return DecodedSamples(lab_to_rgb(samples, offset=True), None, 1)
    if psd.mode == _CMYK:
        from PIL import Image

        from lookalike.image.color.to_rgb import to_uint8

        inks = Image.fromarray(np.ascontiguousarray(255 - to_uint8(samples)), "CMYK")
        return DecodedSamples(np.asarray(cmyk_to_rgb(inks, psd.icc)), None, 1)
    return DecodedSamples(samples if alpha is None else np.dstack((samples, alpha)), psd.icc, 1)
