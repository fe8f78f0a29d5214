"""What a picture's header tells, before any pixel is decoded: format, size, frames, orientation, colour profile."""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace

from lookalike.errors import ImageError, UnreadableImage
from lookalike.image.color.transfer import Space
from lookalike.image.containers.isobmff import colour_space
from lookalike.image.containers.jxl import jxl_header
from lookalike.image.containers.psd import psd_facts
from lookalike.image.containers.raw import raw_format
from lookalike.image.containers.tiff import tiff_facts
from lookalike.image.decoding import exif
from lookalike.image.decoding.formats import Format, refusal, sniff
from lookalike.image.decoding.pillow_reader import pillow_facts
from lookalike.image.decoding.types import Facts, Header

_MOST_CHUNKS = 100_000  # a file of empty chunks must not keep us busy
_MAX_EXIFS = 4  # of a JPEG; what follows is not looked into
_MAX_FRAMES = 10_000  # of a GIF; further ones are not counted
_LARGEST_PROFILE = 8 * 2**20


def read_header(data: bytes) -> Header:
    """The header of a picture file's bytes; no pixel is decoded. Raises UnreadableImage."""
    return read_facts(data).header


def read_facts(data: bytes) -> Facts:
    """What the header tells. Raises UnreadableImage for anything but a picture with a sound header."""
    known = sniff(data)
    if (known is None or known.name == "TIFF") and (raw := raw_format(data)) is not None:
        raise UnreadableImage(f"is a camera's raw file ({raw}): export it as JPEG first")
    if known is None:
        raise UnreadableImage(refusal(data))
    try:
        facts = _OWN[known.name](data) if known.name in _OWN else _by_library(data, known)
    except ImageError:
        raise
    except Exception as error:  # whatever a damaged file makes a parser do
        raise UnreadableImage(f"begins like {known.name}, but its header is damaged ({_brief(error)})") from error
    if facts.width < 1 or facts.height < 1:
        raise UnreadableImage(f"begins like {known.name}, but says it has no pixels")
    return facts


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _by_library(data: bytes, known: Format) -> Facts:
    if known.name == "TIFF":
        try:
            return tiff_facts(data)
        except ImageError:
            raise
        except Exception:  # Pillow may make something of it
            return _by_pillow(data, known)
    return _by_pillow(data, known)


def _by_pillow(data: bytes, known: Format) -> Facts:
    try:
        facts = pillow_facts(data, known)
        if known.name in ("AVIF", "HEIC") and not facts.icc:
            return replace(facts, space=colour_space(data))
        return facts
    except Exception:
        if known.name != "TIFF":
            raise
        # Pillow cannot open colour TIFFs of floats; imagecodecs reads their pixels, but tells no size before.
        tags = exif.first_directory(data)
        width, height = tags.get(exif.WIDTH, 0), tags.get(exif.HEIGHT, 0)
        return Facts(format="TIFF", width=width, height=height, orientation=_valid(tags.get(exif.ORIENTATION, 1)))


def _valid(orientation: int) -> int:
    return orientation if 1 <= orientation <= 8 else 1


# --- JPEG


def _jpeg(data: bytes) -> Facts:
    size: tuple[int, int, int] | None = None
    orientation, bits, exifs = 1, 8, 0
    profile: dict[int, bytes] = {}
    for marker, start, end in _segments(data):
        if marker == 0xE1 and data.startswith(b"Exif\0\0", start) and exifs < _MAX_EXIFS:
            exifs += 1
            if orientation == 1:
                orientation = exif.orientation_of(data[start:end])
        elif marker == 0xE2 and data.startswith(b"ICC_PROFILE\0", start):
            profile.setdefault(data[start + 12], data[start + 14 : end])  # numbered: writers shuffle them
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and size is None:
            size = struct.unpack_from(">HHB", data, start + 1)
            bits = data[start]
    if size is None:
        raise UnreadableImage("begins like JPEG, but stops before its size is told")
    height, width, components = size
    return Facts(
        format="JPEG",
        width=width,
        height=height,
        orientation=orientation,
        icc=b"".join(profile[n] for n in sorted(profile)) or None,
        cmyk=components == 4,
        bits=bits,
    )


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end of content) of each segment before the pixels."""
    at = 2
    for _ in range(_MOST_CHUNKS):
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

_PNG_SAMPLES = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # by colour type; a palette is looked up


def _png(data: bytes) -> Facts:
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    frames, orientation = 1, 1
    icc: bytes | None = None
    alpha = colour in (4, 6)
    stated: Space | None = None
    gamma: float | None = None
    plain = profiled = False
    at = 8
    for _ in range(_MOST_CHUNKS):
        if at + 12 > len(data):
            break
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        content = at + 8
        if kind == b"eXIf" and orientation == 1:
            orientation = exif.orientation_of(data[content : content + length])
        elif kind == b"iCCP" and not profiled:
            profiled = True
            icc = _inflated(data[content : content + length])
        elif kind == b"cICP" and length == 4 and data[content + 2] == 0:
            stated = Space(data[content], data[content + 1])
        elif kind == b"gAMA" and length == 4 and gamma is None:
            gamma = int.from_bytes(data[content : content + 4], "big") / 100_000
        elif kind == b"sRGB":
            plain = True
        elif kind == b"acTL" and length >= 8:
            frames = max(1, int.from_bytes(data[content : content + 4], "big"))
        elif kind == b"tRNS":
            alpha = True
        at += 12 + length
    # The Portable Network Graphics Specification, third edition: cICP outranks iCCP, that sRGB, that gAMA.
    if stated is not None:
        icc = None
    elif icc is None and not plain and gamma:
        stated = Space(gamma=gamma)
    return Facts(
        format="PNG",
        width=width,
        height=height,
        frames=frames,
        orientation=orientation,
        icc=icc,
        alpha=alpha,
        bits=depth,
        stored=(_PNG_SAMPLES.get(colour, 4) + (alpha and colour not in (4, 6))) * (2 if depth == 16 else 1),
        space=stated,
    )


def _inflated(chunk: bytes) -> bytes | None:
    """The profile in an iCCP chunk; None when it is broken, which is no reason to refuse the picture."""
    _name, _, packed = chunk.partition(b"\0")
    try:
        return zlib.decompressobj().decompress(packed[1:], _LARGEST_PROFILE) or None
    except zlib.error:
        return None


# --- WebP


def _webp(data: bytes) -> Facts:
    width = height = frames = 0
    orientation = 1
    icc: bytes | None = None
    alpha = False
    at = 12
    for _ in range(_MOST_CHUNKS):
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
    return Facts(
        format="WEBP",
        width=width,
        height=height,
        frames=max(frames, 1),
        orientation=orientation,
        icc=icc,
        alpha=alpha,
        stored=4 if alpha else 3,
    )


# --- GIF


def _gif(data: bytes) -> Facts:
    """Pillow counts frames by decoding them, a million of which take minutes."""
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
    return Facts(format="GIF", width=width, height=height, frames=max(frames, 1))


def _after_blocks(data: bytes, at: int) -> int:
    """Behind a row of blocks, each of which begins with its length, up to one of length 0."""
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return at + 1


# --- JPEG XL, PAM


def _jxl(data: bytes) -> Facts:
    found = jxl_header(data)
    width, height = exif.upright_size(found.width, found.height, found.orientation)  # the decoder turns it
    return Facts(format="JXL", width=width, height=height, space=found.space, profiled=found.profiled)


def _pam(data: bytes) -> Facts:
    from lookalike.image.containers.pam import pam_header

    header = pam_header(data)
    return Facts(format="PAM", width=header.width, height=header.height)


_OWN: dict[str, Callable[[bytes], Facts]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "GIF": _gif,
    "JXL": _jxl,
    "PAM": _pam,
    "PSD": psd_facts,
}
