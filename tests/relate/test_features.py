import cv2
import numpy as np
import pytest

from lookalike.relate.geometry import features as module
from lookalike.relate.geometry.features import find_features, mirrored, preview_features, sift
from lookalike.relate.geometry.matching import match_features
from tests.relate.conftest import features, scene


def test_features_are_found_when_they_are_first_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    monkeypatch.setattr(module, "sift", lambda gray, count: counts.append(count) or sift(gray, count))
    result = find_features(scene(1), count=50)
    assert (result.width, result.height, result.work, counts) == (480, 360, (512, 384), [])
    assert len(result) == len(result.descriptors) == 50
    assert counts == [50]


def test_thumbnails_give_features_of_the_whole_picture() -> None:
    small = cv2.resize(scene(1), (256, 192), interpolation=cv2.INTER_AREA)
    result = preview_features(small, (480, 360))
    assert (result.width, result.height, result.work) == (480, 360, (256, 192))
    assert not any(result.digest)
    assert result.coarser.work == (128, 96)
    assert len(result.coarser) <= 120


def test_mirrored_features_are_those_of_the_mirrored_picture() -> None:
    mirrored_features = find_features(np.ascontiguousarray(scene(1)[:, ::-1]))
    pairs = match_features(mirrored(features(1)), mirrored_features)
    close = np.linalg.norm(pairs.first[:, :2] - pairs.second[:, :2], axis=1) < 2
    angles = np.abs((pairs.first[:, 3] - pairs.second[:, 3] + 180) % 360 - 180)
    assert close.sum() > 0.7 * len(features(1))
    assert np.median(angles[close]) < 3
    # Without the mirror hardly anything matches, so the test can fail.
    plain = match_features(features(1), mirrored_features)
    assert (np.linalg.norm(plain.first[:, :2] - plain.second[:, :2], axis=1) < 2).sum() < 10


def test_a_mirror_twice_is_the_picture() -> None:
    twice = mirrored(mirrored(features(1)))
    np.testing.assert_array_equal(twice.descriptors, features(1).descriptors)
    np.testing.assert_allclose(twice.points, features(1).points, atol=1e-3)


def test_a_plain_picture_has_none_and_an_icon_is_enlarged() -> None:
    assert len(find_features(np.full((80, 80, 3), 90, np.uint8))) == 0
    icon = scene(3)[:64, :64]
    assert find_features(icon).work == (256, 256)
    assert (find_features(icon).width, find_features(icon, size=(640, 640)).width) == (64, 640)
