"""Resize images to a model's input or a thumbnail, crop regions, and detect images too plain to compare.

Method (benchmarks/decode.py): an image up to 4 times too large is resized bilinearly to exactly twice the target and
then by exact 2 x 2 means; a larger one by area means. The result equals full decoding with area means, in a fraction
of the time.
"""

import math

import numpy as np

from lookalike.errors import BadQuery, BrokenModel, nearest
from lookalike.image.region import Region, check_region
from lookalike.image.resample import resampled
from lookalike.types import RGB, Preprocessing

MIN_SIDE_RATIO = 1.5  # a reduced image keeps a short side of at least this many times the requested side
PLAIN_DEVIATION = 2.0  # levels of 255: largest standard deviation of a channel in a plain image
PLAIN_STRUCTURE = 16  # levels: a pixel farther than this from the median color is structure
_PLAIN_SIDE = 64
_MAX_HALVINGS = 10


def fit(image: RGB, preprocessing: Preprocessing) -> RGB:
    """Resize an image to exactly `preprocessing.size`: squashed, letterboxed or cropped, as in the model's training.

    An image of that size stays as it is: callers fit what they keep, and embedders fit what they get. With "bound" the
    image keeps its aspect ratio, and stays as it is if its short side is at most that of the size.
    Raises BrokenModel for an unknown resize mode.
    """
    height, width = preprocessing.size
    if preprocessing.interpolation:
        return resampled(image, preprocessing)
    match preprocessing.resize:
        case "squash":
            return scaled(image, height, width)
        case "crop":
            return scaled(_center_crop(image, height / width), height, width)
        case "letterbox":
            return _letterboxed(image, height, width, preprocessing.ground)
        case "bound":
            return _bounded(image, min(height, width))
        case unknown:
            raise BrokenModel(f"unknown resize mode {unknown!r}; {nearest(unknown, ('squash', 'letterbox', 'crop'))}")


def decode_side(preprocessing: Preprocessing) -> int:
    """Return the side in pixels that a decoded image needs, so that nothing is lost when it is fitted.

    For a model with a filter of Pillow that is three times its side: reduced further, an image would not be the one
    that its makers had (worst cosine of 35 photos .99997; at twice the side .9995, at the side itself .998).
    """
    side = max(*preprocessing.size, preprocessing.short_side)
    return 3 * side if preprocessing.interpolation else side


def scaled(image: RGB, height: int, width: int) -> RGB:
    """Resize an image to (height, width) without aliasing; the aspect ratio is ignored."""
    import cv2

    tall, wide = image.shape[0] / height, image.shape[1] / width
    if tall == wide == 1:
        return np.ascontiguousarray(image)
    if min(tall, wide) < 1:
        # Area means cannot enlarge, so first shrink the side that is too long, then enlarge the other.
        smaller = (
            scaled(image, min(height, image.shape[0]), min(width, image.shape[1])) if max(tall, wide) > 1 else image
        )
        return np.asarray(cv2.resize(smaller, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    if max(tall, wide) > 4:
        return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    twice = cv2.resize(image, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(twice, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def scaled_by(image: RGB, share: float) -> RGB:
    """Resize both sides by `share`, to at least one pixel."""
    return scaled(image, max(1, round(image.shape[0] * share)), max(1, round(image.shape[1] * share)))


def at_most(image: RGB, side: int) -> RGB:
    """Return the image with a long side of at most `side`; unchanged if it is no longer than that."""
    share = side / max(image.shape[:2])
    return image if share >= 1 else scaled_by(image, share)


def shrink(image: RGB, side: int | None) -> RGB:
    """Halve an image by exact 2 x 2 means while its short side stays at least 1.5 times `side`."""
    return halved(image, halvings_of(image.shape[0], image.shape[1], side))


def halvings_of(height: int, width: int, side: int | None) -> int:
    """Return how often an image can be halved with a short side of at least 1.5 times `side`; at most 10."""
    count, short = 0, min(height, width)
    while side is not None and short >= max(2 * MIN_SIDE_RATIO * side, 2) and count < _MAX_HALVINGS:
        short //= 2
        count += 1
    return count


def halved(image: RGB, times: int) -> RGB:
    """Halve an image `times` times by exact 2 x 2 means; empty when it is too small for that."""
    import cv2

    for _ in range(times):
        height, width = image.shape[0] // 2, image.shape[1] // 2
        if not height or not width:
            return np.empty((0, max(width, 0), 3), np.uint8)
        even = image[: 2 * height, : 2 * width]  # an odd last row or column would break the 2 x 2 means
        image = np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return image


def thumbnail(image: RGB, side: int = 256, quality: int = 80) -> bytes:
    """Encode a JPEG whose long side is at most `side` pixels; smaller images keep their size. `quality`: 1 to 100."""
    import cv2

    height, width = image.shape[:2]
    share = min(1.0, side / max(height, width))
    small = scaled(image, max(1, round(height * share)), max(1, round(width * share)))
    done, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, quality))
    if not done:
        raise BadQuery(f"a thumbnail with side {side} and quality {quality} cannot be encoded")
    return bytes(data)


def crop(image: RGB, region: Region) -> RGB:
    """Return a copy of one region of the image. Raises BadQuery."""
    check_region(region)
    x, y, width, height = region
    down, across = image.shape[:2]
    left, top = min(int(x * across), across - 1), min(int(y * down), down - 1)
    right = max(left + 1, min(across, math.ceil((x + width) * across - 1e-6)))
    bottom = max(top + 1, min(down, math.ceil((y + height) * down - 1e-6)))
    return np.array(image[top:bottom, left:right], order="C")


def is_plain(image: RGB) -> bool:
    """Return whether an image is too plain to compare, that is, has practically one color.

    At 64 x 64 pixels no channel's standard deviation exceeds 2 of 255 levels, and no pixel is more than 16 levels from
    the median. Blank pages, black frames and lens caps are plain; a thin line on white is not.
    """
    import cv2

    small = scaled(image, _PLAIN_SIDE, _PLAIN_SIDE)
    if float(cv2.meanStdDev(small)[1].max()) > PLAIN_DEVIATION:
        return False
    pixels = small.reshape(-1, 3).astype(np.float32)
    return float(np.abs(pixels - np.median(pixels, axis=0)).max()) <= PLAIN_STRUCTURE


def _bounded(image: RGB, side: int) -> RGB:
    height, width = image.shape[:2]
    short = min(height, width)
    if short <= side:
        return np.ascontiguousarray(image)
    return scaled(image, max(1, round(height * side / short)), max(1, round(width * side / short)))


def _center_crop(image: RGB, aspect: float) -> RGB:
    """Return the largest central part whose height is `aspect` times its width."""
    height, width = image.shape[:2]
    tall = min(height, max(1, round(width * aspect)))
    wide = min(width, max(1, round(height / aspect)))
    top, left = (height - tall) // 2, (width - wide) // 2
    return image[top : top + tall, left : left + wide]


def _letterboxed(image: RGB, height: int, width: int, ground: tuple[int, int, int]) -> RGB:
    share = min(height / image.shape[0], width / image.shape[1])
    tall = max(1, min(height, round(image.shape[0] * share)))
    wide = max(1, min(width, round(image.shape[1] * share)))
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = ground
    top, left = (height - tall) // 2, (width - wide) // 2
    canvas[top : top + tall, left : left + wide] = scaled(image, tall, wide)
    return canvas
