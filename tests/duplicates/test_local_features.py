"""Shared local features: rotated and cropped pictures find each other, strangers do not."""

import cv2
import numpy as np

from lookalike.duplicates.search.local_features import Reducer, local_features, shared_features
from lookalike.duplicates.search.thumbnail_features import ThumbnailFeatureReader
from lookalike.tasks import LocalTasks
from tests.relate.conftest import scene


def gray(image: np.ndarray) -> np.ndarray:
    small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None, fx=0.27, fy=0.27, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small)


def rotated(image: np.ndarray, degrees: float) -> np.ndarray:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 0.8)
    return cv2.warpAffine(image, matrix, (width, height))


def test_crops_and_rotations_share_features_with_their_picture_only() -> None:
    pictures = [scene(seed) for seed in range(1, 13)]
    pictures += [rotated(scene(1), 25), scene(2)[40:320, 60:420], rotated(scene(3), 160)]
    features = [local_features(gray(picture), 100) for picture in pictures]
    reduce = Reducer(np.concatenate([descriptors for _, descriptors in features]))
    codes = np.concatenate([reduce(descriptors) for _, descriptors in features])
    angles = np.concatenate([points[:, 3] for points, _ in features])
    rows = np.repeat(np.arange(len(features), dtype=np.int32), [len(points) for points, _ in features])
    pairs = shared_features(codes, angles, rows)
    votes = dict(zip(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True), pairs.score.tolist(), strict=True))
    copies = {(0, 12), (1, 13), (2, 14)}
    assert copies <= set(votes)
    # Circles look alike: a few votes may go astray, most do not.
    assert min(votes[pair] for pair in copies) > 2 * max(
        (votes[pair] for pair in votes if pair not in copies), default=0
    )


def test_votes_that_disagree_on_the_rotation_do_not_count() -> None:
    """Ten features of one picture are found in another, each turned by another angle."""
    random = np.random.default_rng(0)
    codes = random.integers(-100, 100, (400, 32)).astype(np.int8)
    codes[10:20] = codes[:10]
    rows = np.repeat(np.arange(40, dtype=np.int32), 10)
    together, apart = np.zeros(400, np.float32), np.zeros(400, np.float32)
    together[10:20], apart[10:20] = 45, np.arange(10) * 36
    assert len(shared_features(codes, together, rows)) == 1
    assert len(shared_features(codes, apart, rows)) == 0


def test_few_features_give_no_pairs() -> None:
    nothing = np.zeros((3, 32), np.int8), np.zeros(3, np.float32), np.arange(3, dtype=np.int32)
    assert len(shared_features(*nothing)) == 0


def test_a_reader_of_an_empty_collection(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from lookalike.search import Collection
    from tests.conftest import ColourEmbedder

    with Collection.open(str(tmp_path / "c"), model=ColourEmbedder(), create=True) as photos:
        read = ThumbnailFeatureReader(LocalTasks()).read(photos, {})
    assert (read.codes.shape, read.angles.shape, read.rows.shape) == ((0, 32), (0,), (0,))
