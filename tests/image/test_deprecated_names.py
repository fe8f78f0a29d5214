"""Old public names still work, with a DeprecationWarning."""

import pytest

import lookalike.image


@pytest.mark.parametrize(
    ("old", "new"), [("Found", "SourceFile"), ("Header", "ImageHeader"), ("Picture", "DecodedImage")]
)
def test_old_names_warn(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"use {new}"):
        assert getattr(lookalike.image, old) is getattr(lookalike.image, new)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = lookalike.image.Nothing
