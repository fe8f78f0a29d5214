"""Resize images with Pillow's filters, as the image processors of published models do.

A model sees what it was trained with: Pillow's bicubic filter, which is widened when it shrinks an image, so that every
pixel counts. Sizes are rounded down and the center is that of `transformers.image_transforms`.
"""

import numpy as np

from lookalike.errors import BrokenModel
from lookalike.types import RGB, Preprocessing

_Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels of the image


def resampled(image: RGB, preprocessing: Preprocessing) -> RGB:
    """Resize an image to exactly `preprocessing.size` with its `interpolation`, squashed or cropped.

    Raises BrokenModel for a crop that is larger than the resized image.
    """
    from PIL import Image

    height, width = preprocessing.size
    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    box = _crop_box(image, preprocessing) if preprocessing.resize == "crop" else None
    method = Image.Resampling[preprocessing.interpolation.upper()]
    return np.array(Image.fromarray(image).resize((width, height), method, box=box), np.uint8)


def _crop_box(image: RGB, preprocessing: Preprocessing) -> _Box:
    """Return what of the image remains if its short side is resized to `short_side` and then the center cut out.

    Resizing that box is the same as cutting the resized image, without the pixels that the cut takes away.
    """
    tall, wide = image.shape[:2]
    height, width = preprocessing.size
    short = preprocessing.short_side or min(height, width)
    long = int(short * max(tall, wide) / min(tall, wide))
    resized_height, resized_width = (short, long) if tall <= wide else (long, short)
    if resized_height < height or resized_width < width:
        raise BrokenModel(
            f"the preprocessing cuts {width} x {height} pixels out of {resized_width} x {resized_height}; "
            "set short_side to at least the sides of size"
        )
    top, left = (resized_height - height) // 2, (resized_width - width) // 2
    across, down = wide / resized_width, tall / resized_height
    # The far edges are limited: of a product of fractions the last digit may lie outside the image.
    right, bottom = min(float(wide), (left + width) * across), min(float(tall), (top + height) * down)
    return left * across, top * down, right, bottom
