"""The same files give the same groups, whatever the order of their rows and whatever their ids."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
import pytest

from lookalike.duplicates import Duplicates, find_duplicates
from lookalike.duplicates.search import processes, verification
from lookalike.image import EDITS
from lookalike.relate import Calibration, Subject, Verdict, judge
from lookalike.relate.relation import Depth
from lookalike.search import Collection
from lookalike.types import Row
from tests.duplicates.pictures import save
from tests.duplicates.test_original import photograph

PHOTOS, EDITED = 36, 5  # 216 files: of a dozen no two orders differ
SIZE = (320, 240)
COLUMNS = ["path", "root", "size", "mtime_ns", "sha256", "width", "height", "format", "frame", "frames", "thumbnail"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(PHOTOS):
        random, photo = Random(seed), cv2.resize(photograph(seed), SIZE, interpolation=cv2.INTER_AREA)
        save(photo, folder / f"{seed:03}-original.jpg", quality=92)
        for name in random.sample(sorted(EDITS), EDITED):
            edited = EDITS[name].apply(photo, random.uniform(0.1, 0.8), seed)
            save(edited, folder / f"{seed:03}-{name}.{random.choice(('jpg', 'jpg', 'png'))}")
    with Collection.open("memory:") as collection:
        collection.sync(folder)
        yield collection


def in_order(photos: Collection, rows: list[Row], prefix: str) -> Collection:
    """Return a collection with these rows in this order, under ids that say nothing of the files."""
    collection = Collection.open("memory:", model=photos.embedder)
    vectors = np.stack([row.vector for row in rows])
    collection.store.add([f"{prefix}{n}" for n in range(len(rows))], vectors, [row.metadata for row in rows])
    return collection


def summary(result: Duplicates) -> dict[str, dict[str, Any]]:
    """What is found, by the names of the kept file and of its extras."""
    return {
        Path(str(group.keep.metadata["path"])).name: {
            Path(str(extra.metadata["path"])).name: (
                extra.relation, extra.score, extra.probability, extra.words, extra.changes, extra.reason, extra.unsure,
                extra.transform,
            )
            for extra in group.extras
        }
        for group in result.groups
    }  # fmt: skip


@pytest.fixture
def judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge a pair, called in one order, once for all searches, in this process: that is most of their work."""
    verdicts: dict[tuple[str, str], Verdict] = {}

    def judge_once(first: Subject, second: Subject, calibration: Calibration, *, depth: Depth) -> Verdict:
        pair = first.sha256, second.sha256
        if pair not in verdicts:
            verdicts[pair] = judge(first, second, calibration, depth=depth)
        return verdicts[pair]

    monkeypatch.setattr(verification, "judge", judge_once)
    monkeypatch.setattr(processes, "MIN_PAIRS", 10**9)


@pytest.mark.usefixtures("judged_once")
def test_the_order_of_rows_and_the_ids_change_nothing(photos: Collection) -> None:
    rows = [row for row in photos.get(sorted(photos.ids()), COLUMNS) if row is not None]
    assert len(rows) == PHOTOS * (1 + EDITED)
    results = [summary(find_duplicates(in_order(photos, rows, "a")))]
    for seed, prefix in ((1, "b"), (2, "c")):
        results.append(summary(find_duplicates(in_order(photos, Random(seed).sample(rows, len(rows)), prefix))))
    assert sum(map(len, results[0].values())) > 100
    assert results[0] == results[1] == results[2]
