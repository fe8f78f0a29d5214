"""What is known of a picture before its pixels are, and what a reader gives."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from lookalike.image.color.transfer import Space
from lookalike.image.decoding import exif


@dataclass(frozen=True, slots=True)
class Header:
    """A picture file's header. `width` and `height` are of the upright picture, in pixels; `orientation` is EXIF's."""

    format: str
    width: int
    height: int
    frames: int
    orientation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the readers need to know. `width` and `height` as stored; `orientation` still to be applied.

    `bits`: a sample. `stored`: bytes of a decoded pixel, before it becomes RGB. `space`: of the samples, None for sRGB
    or what `icc` says. `profiled`: they are in the colours of a profile that cannot be had.
    """

    format: str
    width: int
    height: int
    frames: int = 1
    orientation: int = 1
    icc: bytes | None = None
    cmyk: bool = False
    alpha: bool = False
    bits: int = 8
    stored: int = 3
    space: Space | None = None
    profiled: bool = False

    @property
    def header(self) -> Header:
        width, height = exif.upright_size(self.width, self.height, self.orientation)
        return Header(self.format, width, height, self.frames, self.orientation)


@dataclass(frozen=True, slots=True)
class Raster:
    """What a reader gives: samples (H, W[, channels]) of any depth; profile and orientation are still to be applied."""

    samples: NDArray[Any]
    icc: bytes | None
    orientation: int
