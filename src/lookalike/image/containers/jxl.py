"""The header of a JPEG XL codestream (ISO/IEC 18181-1): size, orientation, and in what colours its decoder answers.

imagecodecs gives the samples alone. A lossy picture with a profile comes in linear light, since libjxl does not convert
to it; a lossless one comes in the profile's own colours, and the profile cannot be had.
"""

from dataclasses import dataclass

from lookalike.image.color.transfer import LINEAR, Space
from lookalike.image.containers.isobmff import top_boxes

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # aspect ratios 1 to 7
_HEAD = 4096  # bytes: the header, with the names of extra channels
_MAX_EXTRA = 64


@dataclass(frozen=True, slots=True)
class JxlHeader:
    """`space`: of the decoded samples. `profiled`: they are in the colours of a profile that is not at hand."""

    width: int
    height: int
    orientation: int
    space: Space
    profiled: bool


@dataclass(slots=True)
class _Bits:
    """Bits, least significant first."""

    value: int
    at: int = 0

    def take(self, count: int) -> int:
        taken = (self.value >> self.at) & ((1 << count) - 1)
        self.at += count
        return taken

    def flag(self) -> bool:
        return bool(self.take(1))

    def number(self, *ways: tuple[int, int]) -> int:
        """One of four ways to write a number: (what is added, bits)."""
        base, bits = ways[self.take(2)]
        return base + self.take(bits)

    def enum(self) -> int:
        return self.number((0, 0), (1, 0), (2, 4), (18, 6))


def jxl_header(data: bytes) -> JxlHeader:
    """Read it. Raises ValueError."""
    bits = _Bits(int.from_bytes(_codestream(data)[2:], "little"))
    width, height = _size(bits)
    if bits.flag():
        return JxlHeader(width, height, 1, Space(), profiled=False)
    orientation = 1
    if bits.flag():
        orientation = bits.take(3) + 1
        if bits.flag():
            _size(bits)
        if bits.flag():
            _preview(bits)
        if bits.flag():
            _animation(bits)
    _bit_depth(bits)
    bits.flag()  # whether 16 bits suffice for what lies between
    extra = bits.number((0, 0), (1, 0), (2, 4), (1, 12))
    if extra > _MAX_EXTRA:
        raise ValueError(f"{extra} extra channels")
    for _ in range(extra):
        _extra_channel(bits)
    lossy = bits.flag()
    space, profiled = _colours(bits)
    if profiled and lossy:
        return JxlHeader(width, height, orientation, Space(transfer=LINEAR), profiled=False)
    return JxlHeader(width, height, orientation, space, profiled=profiled)


def _codestream(data: bytes) -> bytes:
    if data[:2] == b"\xff\x0a":
        return data[:_HEAD]
    found = b""
    for kind, start, end in top_boxes(data):
        if kind == b"jxlc":
            return data[start : min(end, start + _HEAD)]
        if kind == b"jxlp":  # a part of it, which begins with its number
            found += data[start + 4 : min(end, start + 4 + _HEAD)]
            if len(found) >= _HEAD:
                break
    if not found:
        raise ValueError("no codestream")
    return found


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.take(1)

    def side() -> int:
        return (bits.take(5) + 1) * 8 if small else bits.take((9, 13, 18, 30)[bits.take(2)]) + 1

    height = side()
    ratio = bits.take(3)
    if ratio:
        across, down = _RATIOS[ratio - 1]
        return height * across // down, height
    return side(), height


def _preview(bits: _Bits) -> None:
    eighths = bits.flag()
    ways = ((16, 0), (32, 0), (1, 5), (33, 9)) if eighths else ((1, 6), (65, 8), (321, 10), (1345, 12))
    bits.number(*ways)
    if not bits.take(3):
        bits.number(*ways)


def _animation(bits: _Bits) -> None:
    bits.number((100, 0), (1000, 0), (1, 10), (1, 30))
    bits.number((1, 0), (1001, 0), (1, 8), (1, 10))
    bits.number((0, 0), (0, 3), (0, 16), (0, 32))
    bits.flag()


def _bit_depth(bits: _Bits) -> None:
    if bits.flag():
        bits.number((32, 0), (16, 0), (24, 0), (1, 6))
        bits.take(4)
    else:
        bits.number((8, 0), (10, 0), (12, 0), (1, 6))


def _extra_channel(bits: _Bits) -> None:
    if bits.flag():
        return  # alpha of 8 bits
    kind = bits.enum()
    _bit_depth(bits)
    bits.number((0, 0), (3, 0), (4, 0), (1, 3))
    for _ in range(bits.number((0, 0), (0, 4), (16, 5), (48, 10))):
        bits.take(8)
    if kind == 0:
        bits.flag()
    elif kind == 2:
        bits.take(64)
    elif kind == 5:
        bits.number((1, 0), (0, 2), (3, 4), (19, 8))


def _colours(bits: _Bits) -> tuple[Space, bool]:
    """The space, and whether a profile stands for it."""
    if bits.flag():
        return Space(), False
    profiled = bits.flag()
    kind = bits.enum()
    if profiled or kind == 2:
        return Space(), profiled
    if bits.enum() == 2:
        _custom(bits, 1)
    primaries = 1
    if kind != 1:
        primaries = bits.enum()
        if primaries == 2:
            _custom(bits, 3)
            primaries = 1
    if bits.flag():
        return Space(_h273(primaries), gamma=max(bits.take(24), 1) / 1e7), False
    return Space(_h273(primaries), bits.enum()), False


def _custom(bits: _Bits, points: int) -> None:
    for _ in range(2 * points):
        bits.number((0, 19), (524288, 19), (1048576, 20), (2097152, 21))


def _h273(primaries: int) -> int:
    return 12 if primaries == 11 else primaries  # JPEG XL's P3 has its white at D65
