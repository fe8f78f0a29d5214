"""Value types of the decoder: an image's header, its encoding, and its decoded samples."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from lookalike.image.color.transfer import ColorSpace
from lookalike.image.decoding import exif


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The header of an image file. `width` and `height`: of the upright image, in pixels; `orientation`: as in EXIF."""

    format: str
    width: int
    height: int
    frames: int
    orientation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageEncoding:
    """How an image is encoded. `width` and `height`: as stored, in pixels; `orientation`: still to be applied.

    `bits`: per sample. `pixel_bytes`: of a decoded pixel, before conversion to RGB. `space`: of the samples, None for
    sRGB or when `icc` defines it. `profile_missing`: the samples are in the colors of a profile that the decoder does
    not return.
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
    pixel_bytes: int = 3
    space: ColorSpace | None = None
    profile_missing: bool = False

    @property
    def header(self) -> ImageHeader:
        width, height = exif.upright_size(self.width, self.height, self.orientation)
        return ImageHeader(self.format, width, height, self.frames, self.orientation)


@dataclass(frozen=True, slots=True)
class DecodedSamples:
    """Samples from a reader: (H, W[, channels]) of any depth; `icc` and `orientation` are still to be applied."""

    samples: NDArray[Any]
    icc: bytes | None
    orientation: int
