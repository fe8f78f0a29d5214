"""A vector with a byte changed on disk must not be the first hit of every search."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from lookalike.similarity import is_damaged, normalize
from lookalike.store import memory_index
from lookalike.store.lance.store import LanceStore
from lookalike.store.rank import exact_scores
from lookalike.store.vector_index import SearchRequest


def rows(count: int = 40, dim: int = 16) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return normalize(np.random.default_rng(5).normal(size=(count, dim)))


@pytest.mark.parametrize("byte", range(4))
def test_a_flipped_byte_is_detected_where_it_matters(byte: int) -> None:
    """Changes of the sign, the exponent and the first fraction bits matter; those of further bits do not."""
    vectors = rows()
    for row, column in ((3, 2), (17, 9), (30, 15)):
        damaged = vectors.copy()
        damaged.view(np.uint8).reshape(len(vectors), -1)[row, 4 * column + byte] ^= 0x40
        scores = exact_scores(vectors[0], damaged)
        if is_damaged(damaged)[row]:
            assert scores[row] == -1
        else:
            assert abs(scores[row] - exact_scores(vectors[0], vectors)[row]) < 0.05


def test_half_precision_and_zeros_are_not_damaged() -> None:
    assert not is_damaged(rows().astype(np.float16)).any()
    assert not is_damaged(np.zeros((3, 16), np.float32)).any()
    assert is_damaged(np.full((1, 16), np.nan, np.float32)).all()


def test_the_index_in_memory_skips_damaged_rows(tmp_path: Path) -> None:
    vectors = rows()
    with closing(LanceStore.create(str(tmp_path / "c"), 16)) as store:
        damaged = vectors.copy()
        damaged[7] *= 1e20
        store._rows.upsert([f"i{n}" for n in range(len(vectors))], [{} for _ in vectors], damaged)
        index = memory_index(store, max_bytes=1 << 20)
        assert index is not None
        assert index.damaged_ids() == ["i7"]
        (hits,) = index.search([SearchRequest(vectors[7], 10)])
        assert "i7" not in [hit.id for hit in hits]
        assert len(hits) == 10
