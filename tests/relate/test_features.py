import numpy as np
import pytest

from lookalike.errors import StoreFailed
from lookalike.relate.features import Features, find_features, mirrored, readable
from lookalike.relate.matching import match
from tests.relate.conftest import features, scene


def test_bytes_give_the_same_features_back() -> None:
    found = features(1)
    again = Features.from_bytes(found.to_bytes())
    assert (again.width, again.height, again.work, again.digest) == (480, 360, found.work, found.digest)
    np.testing.assert_array_equal(again.descriptors, found.descriptors)
    assert np.abs(again.points[:, :2] - found.points[:, :2]).max() <= 1 / 32
    turned = np.abs((again.points[:, 3] - found.points[:, 3] + 180) % 360 - 180)
    assert turned.max() < 0.01
    np.testing.assert_array_equal(again.small, found.small)


def test_a_picture_takes_less_than_100_kilobytes() -> None:
    assert len(features(1)) > 300
    assert len(features(1).to_bytes()) < 100_000


@pytest.mark.parametrize("data", [b"", b"LAfe", b"other bytes" * 20, None])
def test_other_bytes_are_refused(data: bytes | None) -> None:
    assert not readable(data)
    if data is not None:
        with pytest.raises(StoreFailed, match="find them again"):
            Features.from_bytes(data)


def test_cut_off_bytes_are_refused() -> None:
    assert not readable(features(1).to_bytes()[:-1])


def test_mirrored_features_are_those_of_the_mirrored_picture() -> None:
    seen = find_features(np.ascontiguousarray(scene(1)[:, ::-1]))
    pairs = match(mirrored(features(1)), seen)
    close = np.linalg.norm(pairs.first[:, :2] - pairs.second[:, :2], axis=1) < 2
    angles = np.abs((pairs.first[:, 3] - pairs.second[:, 3] + 180) % 360 - 180)
    assert close.sum() > 0.7 * len(features(1))
    assert np.median(angles[close]) < 3
    # Without the mirror next to nothing matches: the test can fail.
    plain = match(features(1), seen)
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
