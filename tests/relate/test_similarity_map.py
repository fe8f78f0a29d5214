import numpy as np
import pytest

from lookalike.embed.registry import DEFAULT_MODEL, model_folder
from lookalike.errors import BrokenModel
from lookalike.relate import verify
from lookalike.relate.content.similarity_map import last_convolution, network_map
from lookalike.relate.geometry.features import find_features
from tests.relate.conftest import features, scene

MODEL = model_folder(DEFAULT_MODEL)


def test_a_picture_agrees_with_itself_everywhere_and_a_changed_part_does_not() -> None:
    changed = scene(1).copy()
    changed[:, 240:] = scene(2)[:, 240:]
    same = network_map(scene(1), scene(1), verify(features(1), features(1)), MODEL)
    half = network_map(scene(1), changed, verify(features(1), find_features(changed)), MODEL)
    assert same is not None
    assert half is not None
    assert np.nanmin(same) > 0.99
    middle = half.shape[1] // 2
    assert np.nanmean(half[:, : middle - 30]) > np.nanmean(half[:, middle + 30 :]) + 0.2


def test_outside_the_overlap_there_is_nothing_to_say() -> None:
    part = np.ascontiguousarray(scene(1)[:, :240])
    agreement = network_map(part, scene(1), verify(find_features(part), features(1)), MODEL)
    assert agreement is not None
    assert np.isnan(agreement[:, -20:]).all()
    assert np.isfinite(agreement[20:-20, 20:90]).all()


def test_other_bytes_are_no_model() -> None:
    assert last_convolution(b"") is None
    with pytest.raises(BrokenModel):
        last_convolution(b"\xff" * 40)
