"""A decoder that takes the whole run with it costs one file: noted while in hand, held back the next time."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lookalike.search import Collection
from lookalike.search.in_hand import InHand, take_left_in_hand
from tests.conftest import ColourEmbedder

# The child dies of one file, as it would of a decoder that writes past its buffer.
CHILD = """
import os, sys
sys.path[:0] = {path!r}
from lookalike.search import Collection
from lookalike.search.sync import SyncOptions
from lookalike.image import guarded
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


def test_a_file_that_ends_the_run_is_held_back_and_decoded_apart(tmp_path: Path, write: Callable[..., Path]) -> None:
    for n in range(12):
        bad = write(f"{n}.png", seed=n)
    uri = str(tmp_path / "collection")
    code = CHILD.format(path=[str(Path.cwd())], uri=uri, folder=str(bad.parent), bad=str(bad))
    died = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert died.returncode < 0
    assert next(Path(uri).glob("in-hand-*"), None) is not None
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    with Collection.open(uri, model=ColourEmbedder()) as photos:
        assert len(photos) == 12
    assert not list(Path(uri).glob("in-hand-*"))


def test_what_was_in_hand_is_told_once(tmp_path: Path) -> None:
    hand = InHand(str(tmp_path))
    with hand.holding("/pictures/one.png"), hand.holding("/pictures/\udcfftwo.png"):
        (noted,) = tmp_path.iterdir()
        noted.rename(tmp_path / "in-hand-999999999")  # as if its process had died
        found = take_left_in_hand(str(tmp_path))
    assert found == {"/pictures/one.png", "/pictures/\udcfftwo.png"}
    assert take_left_in_hand(str(tmp_path)) == frozenset()


def test_what_was_put_down_is_not_told(tmp_path: Path) -> None:
    hand = InHand(str(tmp_path))
    with pytest.raises(ValueError, match="bad"), hand.holding("/pictures/one.png"):
        raise ValueError("bad")
    (noted,) = tmp_path.iterdir()
    noted.rename(tmp_path / "in-hand-999999999")
    assert take_left_in_hand(str(tmp_path)) == frozenset()


def test_a_running_process_keeps_its_note(tmp_path: Path) -> None:
    (tmp_path / "in-hand-1").write_bytes(b"\0" * 4096)
    assert take_left_in_hand(str(tmp_path)) == frozenset()
    assert (tmp_path / "in-hand-1").exists()


def test_nothing_is_noted_where_nothing_can_be(tmp_path: Path) -> None:
    for folder in (None, str(tmp_path / "nowhere")):
        hand = InHand(folder)
        with hand.holding("/pictures/one.png"):
            pass
        hand.close()
        assert take_left_in_hand(folder) == frozenset()
