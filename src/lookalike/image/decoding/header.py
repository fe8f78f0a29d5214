"""Read image headers without decoding pixels: format, size, frames, orientation, color profile."""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace

from lookalike.errors import ImageError, UnreadableImage
from lookalike.image.color.transfer import ColorSpace
from lookalike.image.containers.isobmff import color_space
from lookalike.image.containers.jxl import jxl_header
from lookalike.image.containers.psd import psd_encoding
from lookalike.image.containers.raw import raw_format
from lookalike.image.containers.tiff import tiff_encoding
from lookalike.image.decoding import exif
from lookalike.image.decoding.formats import Format, refusal, sniff
from lookalike.image.decoding.pillow_reader import pillow_encoding
from lookalike.image.decoding.types import ImageEncoding, ImageHeader

_MAX_CHUNKS = 100_000  # bounds the time spent on a file full of empty chunks
_MAX_EXIF_BLOCKS = 4  # of a JPEG; further ones are ignored
_MAX_FRAMES = 10_000  # of a GIF; further ones are not counted
_MAX_PROFILE_BYTES = 8 * 2**20


def read_header(data: bytes) -> ImageHeader:
    """Read the header of an image file's bytes without decoding pixels. Raises UnreadableImage."""
    return read_encoding(data).header


def read_encoding(data: bytes) -> ImageEncoding:
    """Read how the image is encoded. Raises UnreadableImage for anything but an image with a valid header."""
    known = sniff(data)
    if (known is None or known.name == "TIFF") and (raw := raw_format(data)) is not None:
        raise UnreadableImage(f"is a camera's raw file ({raw}): export it as JPEG first")
    if known is None:
        raise UnreadableImage(refusal(data))
    try:
        encoding = _PARSERS[known.name](data) if known.name in _PARSERS else _parse_with_library(data, known)
    except ImageError:
        raise
    except Exception as error:  # damaged files can raise anything in a parser
        raise UnreadableImage(
            f"begins like {known.name}, but its header is damaged ({_short_message(error)})"
        ) from error
    if not all(isinstance(value, int) for value in (encoding.width, encoding.height, encoding.frames)):
        raise UnreadableImage(f"begins like {known.name}, but its header states a size that is not a number")
    if encoding.width < 1 or encoding.height < 1:
        raise UnreadableImage(f"begins like {known.name}, but its header states a size of zero")
    return encoding


def _short_message(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _parse_with_library(data: bytes, known: Format) -> ImageEncoding:
    if known.name == "TIFF":
        try:
            return tiff_encoding(data)
        except ImageError:
            raise
        except Exception:  # Pillow may still read it
            return _parse_with_pillow(data, known)
    return _parse_with_pillow(data, known)


def _parse_with_pillow(data: bytes, known: Format) -> ImageEncoding:
    try:
        encoding = pillow_encoding(data, known)
        if known.name in ("AVIF", "HEIC") and not encoding.icc:
            return replace(encoding, space=color_space(data))
        return encoding
    except Exception:
        if known.name != "TIFF":
            raise
        # Pillow cannot open color TIFFs of floats; imagecodecs decodes them, but cannot read their size beforehand.
        tags = exif.first_directory(data)
        width, height = tags.get(exif.WIDTH, 0), tags.get(exif.HEIGHT, 0)
        return ImageEncoding(
            format="TIFF", width=width, height=height, orientation=_valid_orientation(tags.get(exif.ORIENTATION, 1))
        )


def _valid_orientation(orientation: int) -> int:
    return orientation if 1 <= orientation <= 8 else 1


# --- JPEG


def _jpeg(data: bytes) -> ImageEncoding:
    size: tuple[int, int, int] | None = None
    orientation, bits, exifs = 1, 8, 0
    profile: dict[int, bytes] = {}
    for marker, start, end in _segments(data):
        if marker == 0xE1 and data.startswith(b"Exif\0\0", start) and exifs < _MAX_EXIF_BLOCKS:
            exifs += 1
            if orientation == 1:
                orientation = exif.orientation_of(data[start:end])
        elif marker == 0xE2 and data.startswith(b"ICC_PROFILE\0", start):
            profile.setdefault(data[start + 12], data[start + 14 : end])  # by number: some writers shuffle them
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and size is None:
            size = struct.unpack_from(">HHB", data, start + 1)
            bits = data[start]
    if size is None:
        raise UnreadableImage("begins like JPEG, but ends before the header states its size")
    height, width, components = size
    return ImageEncoding(
        format="JPEG",
        width=width,
        height=height,
        orientation=orientation,
        icc=b"".join(profile[n] for n in sorted(profile)) or None,
        cmyk=components == 4,
        bits=bits,
    )


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end of content) of each segment before the pixels."""
    at = 2
    for _ in range(_MAX_CHUNKS):
        at = data.find(b"\xff", at)
        while 0 <= at < len(data) - 1 and data[at + 1] == 0xFF:
            at += 1
        if at < 0 or at + 4 > len(data):
            return
        marker = data[at + 1]
        if marker == 0xDA:
            return
        if marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            at += 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, at + 4, min(at + 2 + length, len(data))
        at += 2 + length


# --- PNG

_PNG_SAMPLES = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # samples per pixel by color type; a palette is expanded


def _png(data: bytes) -> ImageEncoding:
    width, height, depth, color = struct.unpack_from(">IIBB", data, 16)
    frames, orientation = 1, 1
    icc: bytes | None = None
    alpha = color in (4, 6)
    stated: ColorSpace | None = None
    gamma: float | None = None
    has_srgb = has_profile = False
    at = 8
    for _ in range(_MAX_CHUNKS):
        if at + 12 > len(data):
            break
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        content = at + 8
        if kind == b"eXIf" and orientation == 1:
            orientation = exif.orientation_of(data[content : content + length])
        elif kind == b"iCCP" and not has_profile:
            has_profile = True
            icc = _inflated(data[content : content + length])
        elif kind == b"cICP" and length == 4 and data[content + 2] == 0:
            stated = ColorSpace(data[content], data[content + 1])
        elif kind == b"gAMA" and length == 4 and gamma is None:
            gamma = int.from_bytes(data[content : content + 4], "big") / 100_000
        elif kind == b"sRGB":
            has_srgb = True
        elif kind == b"acTL" and length >= 8:
            frames = max(1, int.from_bytes(data[content : content + 4], "big"))
        elif kind == b"tRNS":
            alpha = True
        at += 12 + length
    # Precedence by the PNG specification, third edition: cICP, iCCP, sRGB, gAMA.
    if stated is not None:
        icc = None
    elif icc is None and not has_srgb and gamma:
        stated = ColorSpace(gamma=gamma)
    return ImageEncoding(
        format="PNG",
        width=width,
        height=height,
        frames=frames,
        orientation=orientation,
        icc=icc,
        alpha=alpha,
        bits=depth,
        pixel_bytes=(_PNG_SAMPLES.get(color, 4) + (alpha and color not in (4, 6))) * (2 if depth == 16 else 1),
        space=stated,
    )


def _inflated(chunk: bytes) -> bytes | None:
    """Return the profile in an iCCP chunk; None when it is broken, since the image is still usable."""
    _name, _, packed = chunk.partition(b"\0")
    try:
        return zlib.decompressobj().decompress(packed[1:], _MAX_PROFILE_BYTES) or None
    except zlib.error:
        return None


# --- WebP


def _webp(data: bytes) -> ImageEncoding:
    width = height = frames = 0
    orientation = 1
    icc: bytes | None = None
    alpha = False
    at = 12
    for _ in range(_MAX_CHUNKS):
        if at + 8 > len(data):
            break
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        content = data[at + 8 : at + 8 + min(length, 32)]
        if kind == b"VP8X":
            alpha = bool(content[0] & 0x10)
            width, height = (int.from_bytes(content[i : i + 3], "little") + 1 for i in (4, 7))
        elif kind == b"VP8L" and not width:
            packed = int.from_bytes(content[1:5], "little")
            width, height, alpha = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1, bool(packed >> 28 & 1)
        elif kind == b"VP8 " and not width:
            width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", content, 6))
        elif kind == b"ANMF":
            frames += 1
        elif kind == b"EXIF":
            orientation = exif.orientation_of(data[at + 8 : at + 8 + length])
        elif kind == b"ICCP":
            icc = data[at + 8 : at + 8 + length]
        at += 8 + length + (length & 1)
    return ImageEncoding(
        format="WEBP",
        width=width,
        height=height,
        frames=max(frames, 1),
        orientation=orientation,
        icc=icc,
        alpha=alpha,
        pixel_bytes=4 if alpha else 3,
    )


# --- GIF


def _gif(data: bytes) -> ImageEncoding:
    """Read a GIF header and count its frames; Pillow counts by decoding, which takes minutes for a million frames."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    frames = 0
    while at < len(data) and frames < _MAX_FRAMES:
        if data[at] == 0x2C and at + 10 <= len(data):
            frames += 1
            local = data[at + 9]
            at = _after_blocks(data, at + 11 + (3 << (local & 7) + 1 if local & 0x80 else 0))
        elif data[at] == 0x21:
            at = _after_blocks(data, at + 2)
        else:
            break
    return ImageEncoding(format="GIF", width=width, height=height, frames=max(frames, 1))


def _after_blocks(data: bytes, at: int) -> int:
    """Return the position after a sequence of length-prefixed blocks that ends with a block of length 0."""
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return at + 1


# --- JPEG XL, PAM


def _jxl(data: bytes) -> ImageEncoding:
    header = jxl_header(data)
    width, height = exif.upright_size(header.width, header.height, header.orientation)  # the decoder applies it
    return ImageEncoding(
        format="JXL", width=width, height=height, space=header.space, profile_missing=header.profile_missing
    )


def _pam(data: bytes) -> ImageEncoding:
    from lookalike.image.containers.pam import pam_header

    header = pam_header(data)
    return ImageEncoding(format="PAM", width=header.width, height=header.height)


_PARSERS: dict[str, Callable[[bytes], ImageEncoding]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "GIF": _gif,
    "JXL": _jxl,
    "PAM": _pam,
    "PSD": psd_encoding,
}
