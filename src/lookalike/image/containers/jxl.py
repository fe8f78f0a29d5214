"""Parse the header of a JPEG XL codestream (ISO/IEC 18181-1): size, orientation, color space of the decoded samples.

imagecodecs returns the samples alone. A lossy image with a profile is decoded to linear light, since libjxl does not
convert to the profile; a lossless one is decoded to the profile's colors, and the profile is not available.
"""

from dataclasses import dataclass

from lookalike.image.color.transfer import LINEAR, ColorSpace
from lookalike.image.containers.isobmff import top_boxes

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # aspect ratios 1 to 7
_HEADER_BYTES = 4096  # including the names of extra channels
_MAX_EXTRA_CHANNELS = 64


@dataclass(frozen=True, slots=True)
class JxlHeader:
    """The header. `space`: of the decoded samples. `profile_missing`: the profile that defines it is not available."""

    width: int
    height: int
    orientation: int
    space: ColorSpace
    profile_missing: bool


@dataclass(slots=True)
class _BitReader:
    """Reads bits, least significant first."""

    value: int
    position: int = 0

    def take(self, count: int) -> int:
        bits = (self.value >> self.position) & ((1 << count) - 1)
        self.position += count
        return bits

    def flag(self) -> bool:
        return bool(self.take(1))

    def number(self, *encodings: tuple[int, int]) -> int:
        """Read a number in one of four encodings, each (offset, bits)."""
        offset, bits = encodings[self.take(2)]
        return offset + self.take(bits)

    def enum(self) -> int:
        return self.number((0, 0), (1, 0), (2, 4), (18, 6))


def jxl_header(data: bytes) -> JxlHeader:
    """Parse the header of a JPEG XL file. Raises ValueError."""
    bits = _BitReader(int.from_bytes(_codestream(data)[2:], "little"))
    width, height = _size(bits)
    if bits.flag():
        return JxlHeader(width, height, 1, ColorSpace(), profile_missing=False)
    orientation = 1
    if bits.flag():
        orientation = bits.take(3) + 1
        if bits.flag():
            _size(bits)
        if bits.flag():
            _skip_preview(bits)
        if bits.flag():
            _skip_animation(bits)
    _skip_bit_depth(bits)
    bits.flag()  # whether 16-bit buffers suffice
    extra = bits.number((0, 0), (1, 0), (2, 4), (1, 12))
    if extra > _MAX_EXTRA_CHANNELS:
        raise ValueError(f"{extra} extra channels")
    for _ in range(extra):
        _skip_extra_channel(bits)
    lossy = bits.flag()
    space, has_profile = _color_encoding(bits)
    if has_profile and lossy:
        return JxlHeader(width, height, orientation, ColorSpace(transfer=LINEAR), profile_missing=False)
    return JxlHeader(width, height, orientation, space, profile_missing=has_profile)


def _codestream(data: bytes) -> bytes:
    if data[:2] == b"\xff\x0a":
        return data[:_HEADER_BYTES]
    codestream = b""
    for kind, start, end in top_boxes(data):
        if kind == b"jxlc":
            return data[start : min(end, start + _HEADER_BYTES)]
        if kind == b"jxlp":  # a part of the codestream, preceded by its number
            codestream += data[start + 4 : min(end, start + 4 + _HEADER_BYTES)]
            if len(codestream) >= _HEADER_BYTES:
                break
    if not codestream:
        raise ValueError("no codestream")
    return codestream


def _size(bits: _BitReader) -> tuple[int, int]:
    small = bits.take(1)

    def side() -> int:
        return (bits.take(5) + 1) * 8 if small else bits.take((9, 13, 18, 30)[bits.take(2)]) + 1

    height = side()
    ratio = bits.take(3)
    if ratio:
        across, down = _RATIOS[ratio - 1]
        return height * across // down, height
    return side(), height


def _skip_preview(bits: _BitReader) -> None:
    eighths = bits.flag()
    encodings = ((16, 0), (32, 0), (1, 5), (33, 9)) if eighths else ((1, 6), (65, 8), (321, 10), (1345, 12))
    bits.number(*encodings)
    if not bits.take(3):
        bits.number(*encodings)


def _skip_animation(bits: _BitReader) -> None:
    bits.number((100, 0), (1000, 0), (1, 10), (1, 30))
    bits.number((1, 0), (1001, 0), (1, 8), (1, 10))
    bits.number((0, 0), (0, 3), (0, 16), (0, 32))
    bits.flag()


def _skip_bit_depth(bits: _BitReader) -> None:
    if bits.flag():
        bits.number((32, 0), (16, 0), (24, 0), (1, 6))
        bits.take(4)
    else:
        bits.number((8, 0), (10, 0), (12, 0), (1, 6))


def _skip_extra_channel(bits: _BitReader) -> None:
    if bits.flag():
        return  # 8-bit alpha
    kind = bits.enum()
    _skip_bit_depth(bits)
    bits.number((0, 0), (3, 0), (4, 0), (1, 3))
    for _ in range(bits.number((0, 0), (0, 4), (16, 5), (48, 10))):
        bits.take(8)
    if kind == 0:
        bits.flag()
    elif kind == 2:
        bits.take(64)
    elif kind == 5:
        bits.number((1, 0), (0, 2), (3, 4), (19, 8))


def _color_encoding(bits: _BitReader) -> tuple[ColorSpace, bool]:
    """Return the color space, and whether a profile defines it."""
    if bits.flag():
        return ColorSpace(), False
    has_profile = bits.flag()
    kind = bits.enum()
    if has_profile or kind == 2:
        return ColorSpace(), has_profile
    if bits.enum() == 2:
        _skip_chromaticities(bits, 1)
    primaries = 1
    if kind != 1:
        primaries = bits.enum()
        if primaries == 2:
            _skip_chromaticities(bits, 3)
            primaries = 1
    if bits.flag():
        return ColorSpace(_h273_primaries(primaries), gamma=max(bits.take(24), 1) / 1e7), False
    return ColorSpace(_h273_primaries(primaries), bits.enum()), False


def _skip_chromaticities(bits: _BitReader, points: int) -> None:
    for _ in range(2 * points):
        bits.number((0, 19), (524288, 19), (1048576, 20), (2097152, 21))


def _h273_primaries(primaries: int) -> int:
    return 12 if primaries == 11 else primaries  # in JPEG XL, P3 has a D65 white point
