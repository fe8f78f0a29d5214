"""A decoder that ends the whole run costs one file: recorded while in progress, postponed the next time."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lookalike.indexing.in_progress import InProgress, take_interrupted
from lookalike.search import Collection
from tests.conftest import ColourEmbedder

# The child dies of one file, as it would of a decoder that writes past its buffer.
CHILD = """
import os, sys
sys.path[:0] = {path!r}
from lookalike.search import Collection
from lookalike.indexing.sync import SyncOptions
from lookalike.image.decoding import guarded
from tests.conftest import ColourEmbedder
real = guarded.decode_frames
def decode_frames(data, *arguments, **options):
    if data == open({bad!r}, "rb").read():
        os.abort()
    return real(data, *arguments, **options)
guarded.decode_frames = decode_frames
photos = Collection.open({uri!r}, model=ColourEmbedder(), create=True)
photos.sync({folder!r}, options=SyncOptions(workers=2))
"""

FAILS = """
apart = guarded.GuardedDecoder.decode_frames
def decode_apart(self, data, *arguments, doubtful=False, **options):
    if doubtful and data == open({bad!r}, "rb").read():
        raise guarded.DecoderFailed("made its decoder fail")
    return apart(self, data, *arguments, doubtful=doubtful, **options)
guarded.GuardedDecoder.decode_frames = decode_apart
"""


def test_a_file_that_ends_the_run_is_held_back_and_decoded_apart(tmp_path: Path, write: Callable[..., Path]) -> None:
    for n in range(12):
        bad = write(f"{n}.png", seed=n)
    uri = str(tmp_path / "collection")
    code = CHILD.format(path=[str(Path.cwd())], uri=uri, folder=str(bad.parent), bad=str(bad))
    died = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert died.returncode < 0
    assert next(Path(uri).glob("in-hand-*"), None) is not None
    for _ in range(3):
        again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert again.returncode == 0, again.stderr
    with Collection.open(uri, model=ColourEmbedder()) as photos:
        assert len(photos) == 12
    assert not list(Path(uri).glob("in-hand-*"))


def died(hand: InProgress) -> None:
    """As if its process had: the lock goes, the note stays."""
    assert hand._map is not None
    hand._map.close()
    hand._map = None
    os.close(hand._descriptor)
    hand._descriptor, hand._path = -1, None


def test_a_file_that_ends_its_child_too_ends_no_run_ever_again(tmp_path: Path, write: Callable[..., Path]) -> None:
    for n in range(6):
        bad = write(f"{n}.png", seed=n)
    uri = str(tmp_path / "collection")
    code = CHILD.format(path=[str(Path.cwd())], uri=uri, folder=str(bad.parent), bad=str(bad))
    code = code.replace("photos = Coll", FAILS.format(bad=str(bad)) + "photos = Coll")
    ended = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode for _ in range(5)
    ]
    assert ended[0] < 0
    assert ended[1:] == [0] * 4
    with Collection.open(uri, model=ColourEmbedder()) as photos:
        assert len(photos) == 5
        assert [failure.path for failure in photos.failures()] == [str(bad)]


def test_files_in_progress_are_returned_once(tmp_path: Path) -> None:
    hand = InProgress(str(tmp_path))
    with hand.recording("/pictures/one.png"), hand.recording("/pictures/\udcfftwo.png"):
        assert take_interrupted(str(tmp_path)) == frozenset()  # still running
        died(hand)
        assert take_interrupted(str(tmp_path)) == {"/pictures/one.png", "/pictures/\udcfftwo.png"}
    assert take_interrupted(str(tmp_path)) == frozenset()


def test_finished_files_are_not_returned(tmp_path: Path) -> None:
    hand = InProgress(str(tmp_path))
    with pytest.raises(ValueError, match="bad"), hand.recording("/pictures/one.png"):
        raise ValueError("bad")
    died(hand)
    assert take_interrupted(str(tmp_path)) == frozenset()


def test_a_suspect_stays_noted_until_it_is_settled(tmp_path: Path) -> None:
    """A run that is stopped before it comes to them, at its end, must not forget them."""
    suspects = frozenset({"/pictures/one.png", "/pictures/two.png"})
    first = InProgress(str(tmp_path), suspects)
    with first.recording("/pictures/one.png"):
        pass
    first.close()
    assert take_interrupted(str(tmp_path)) == {"/pictures/two.png"}
    second = InProgress(str(tmp_path), {"/pictures/two.png"})
    with second.recording("/pictures/two.png"):
        pass
    second.close()
    assert not list(tmp_path.iterdir())


def test_two_runs_in_one_process_do_not_share_a_note(tmp_path: Path) -> None:
    one, other = InProgress(str(tmp_path)), InProgress(str(tmp_path))
    with one.recording("/pictures/one.png"):
        with other.recording("/pictures/two.png"):
            assert len(list(tmp_path.iterdir())) == 2
            assert take_interrupted(str(tmp_path)) == frozenset()
        other.close()
        assert len(list(tmp_path.iterdir())) == 1
    with other.recording("/pictures/late.png"):  # after it was closed
        assert len(list(tmp_path.iterdir())) == 1
    one.close()
    assert not list(tmp_path.iterdir())


def test_nothing_is_noted_where_nothing_can_be(tmp_path: Path) -> None:
    for folder in (None, str(tmp_path / "nowhere")):
        hand = InProgress(folder)
        with hand.recording("/pictures/one.png"):
            pass
        hand.close()
        assert take_interrupted(folder) == frozenset()
