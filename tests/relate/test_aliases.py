"""Former names of `lookalike.relate` and `lookalike.plot` still work and raise a DeprecationWarning."""

from types import ModuleType

import pytest

from lookalike import plot, relate


@pytest.mark.parametrize(
    ("module", "former", "current"),
    [
        (relate, "of_card", "calibration_of_card"),
        (relate, "weigh", "to_verdict"),
        (plot, "places", "containment_rows"),
    ],
)
def test_a_former_name_is_deprecated(module: ModuleType, former: str, current: str) -> None:
    with pytest.warns(DeprecationWarning, match=current):
        assert getattr(module, former) is getattr(module, current)


@pytest.mark.parametrize("module", [relate, plot])
def test_an_unknown_name_is_an_attribute_error(module: ModuleType) -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = module.nothing
