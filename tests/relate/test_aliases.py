"""Former names of `lookalike.relate` still work and raise a DeprecationWarning."""

import pytest

from lookalike import relate


@pytest.mark.parametrize(("former", "current"), [("of_card", "calibration_of_card"), ("weigh", "to_verdict")])
def test_a_former_name_is_deprecated(former: str, current: str) -> None:
    with pytest.warns(DeprecationWarning, match=current):
        assert getattr(relate, former) is getattr(relate, current)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = relate.nothing
