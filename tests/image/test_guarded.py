"""Decoding in child processes: a crash, hang or exhausted memory costs one file; trusted formats start no process."""

import io
import os
import signal
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from lookalike.errors import ImageTooLarge, UnreadableImage
from lookalike.image import DecoderFailed, GuardedDecoder, Limits, decode_frames
from lookalike.image.decoding import guarded as module
from lookalike.types import RGB


def encoded(image: RGB, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, form, **options)
    return file.getvalue()


@pytest.fixture
def guarded() -> Iterator[GuardedDecoder]:
    with GuardedDecoder(Limits(max_pixels=10**8)) as decoder:
        yield decoder


def process_of(decoder: GuardedDecoder) -> int:
    return decoder._children[-1]._process.pid


def test_trusted_formats_start_no_process(guarded: GuardedDecoder, scene: RGB) -> None:
    for form in ("JPEG", "PNG", "WEBP"):
        data = encoded(scene, form)
        (picture,) = guarded.decode_frames(data, 1, side=64)
        assert np.array_equal(picture.image, decode_frames(data, 1, side=64)[0].image)
    assert not guarded._children


@pytest.mark.parametrize("form", ["TIFF", "BMP", "GIF", "AVIF", "JPEG2000"])
def test_a_child_gives_the_same_image(guarded: GuardedDecoder, scene: RGB, form: str) -> None:
    data = encoded(scene, form)
    (picture,) = guarded.decode_frames(data, 1, side=64)
    (ours,) = decode_frames(data, 1, side=64)
    assert np.array_equal(picture.image, ours.image)
    assert (picture.width, picture.height, picture.format, picture.frames) == (ours.width, ours.height, form, 1)


def test_frames_of_an_animation(guarded: GuardedDecoder, scene: RGB) -> None:
    others = [Image.fromarray(np.roll(scene, shift, 0)) for shift in (9, 18, 27)]
    data = encoded(scene, "GIF", save_all=True, append_images=others)
    assert [picture.frame for picture in guarded.decode_frames(data, 2, side=None)] == [0, 2]


def test_reasons_come_from_the_child(guarded: GuardedDecoder, scene: RGB) -> None:
    with pytest.raises(UnreadableImage, match="SVG"):
        guarded.decode_frames(b"<svg xmlns='x'></svg>", 1, side=64)
    with pytest.raises(ImageTooLarge, match="max_pixels"), GuardedDecoder(Limits(max_pixels=100)) as small:
        small.decode_frames(encoded(scene, "TIFF"), 1, side=64)
    with pytest.raises(ImageTooLarge, match="max_bytes"), GuardedDecoder(Limits(max_bytes=100)) as short:
        short.decode_frames(encoded(scene, "TIFF"), 1, side=64)


def test_a_crash_costs_one_file(guarded: GuardedDecoder, scene: RGB) -> None:
    data = encoded(scene, "TIFF")
    guarded.decode_frames(data, 1, side=64)
    os.kill(process_of(guarded), signal.SIGSTOP)
    threading.Timer(0.3, os.kill, (process_of(guarded), signal.SIGKILL)).start()
    with pytest.raises(DecoderFailed, match="ended by SIGKILL"):
        guarded.decode_frames(data, 1, side=64)
    assert guarded.decode_frames(data, 1, side=64)[0].width == scene.shape[1]


def test_a_hanging_child_is_killed(scene: RGB) -> None:
    data = encoded(scene, "TIFF")
    with GuardedDecoder(Limits(), seconds=0.5) as decoder:
        decoder.decode_frames(data, 1, side=64)
        os.kill(process_of(decoder), signal.SIGSTOP)
        started_at = time.monotonic()
        with pytest.raises(DecoderFailed, match=r"more than 0\.5 seconds"):
            decoder.decode_frames(data, 1, side=64)
        assert time.monotonic() - started_at < 5
        assert decoder.decode_frames(data, 1, side=64)[0].width == scene.shape[1]


def test_exhausted_memory_is_refused(scene: RGB, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "child_memory", lambda _: 900 * 2**20)
    with GuardedDecoder(Limits(max_pixels=10**10)) as decoder:
        large = encoded(np.zeros((20_000, 20_000), np.uint8), "TIFF", compression="tiff_adobe_deflate")
        with pytest.raises(ImageTooLarge, match="memory"):
            decoder.decode_frames(large, 1, side=None)
        assert decoder.decode_frames(encoded(scene, "TIFF"), 1, side=64)[0].width == scene.shape[1]


def test_many_threads_share_the_children(guarded: GuardedDecoder, scene: RGB) -> None:
    files = {shift: encoded(np.roll(scene, shift, 1), "BMP") for shift in range(0, 60, 5)}
    decoded: dict[int, RGB] = {}

    def some(shifts: list[int]) -> None:
        for shift in shifts:
            decoded[shift] = guarded.decode_frames(files[shift], 1, side=None)[0].image

    threads = [threading.Thread(target=some, args=(list(files)[n::3],)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(decoded[shift], np.roll(scene, shift, 1)) for shift in files)
    assert len(guarded._children) <= 3


def test_close_kills_all_children(guarded: GuardedDecoder, scene: RGB) -> None:
    guarded.decode_frames(encoded(scene, "BMP"), 1, side=64)
    process = process_of(guarded)
    guarded.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_child_killed_while_idle_is_replaced(guarded: GuardedDecoder, scene: RGB) -> None:
    """A system short of memory may kill an idle child."""
    data = encoded(scene, "TIFF")
    guarded.decode_frames(data, 1, side=64)
    os.kill(process_of(guarded), signal.SIGKILL)
    guarded._children[-1]._process.wait()
    assert guarded.decode_frames(data, 1, side=64)[0].width == scene.shape[1]


def test_close_while_a_thread_decodes(scene: RGB) -> None:
    decoder = GuardedDecoder(Limits())
    data = encoded(scene, "TIFF")
    decoder.decode_frames(data, 1, side=64)
    os.kill(process_of(decoder), signal.SIGSTOP)
    errors: list[BaseException] = []

    def some() -> None:
        try:
            decoder.decode_frames(data, 1, side=64)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=some)
    thread.start()
    time.sleep(0.3)
    decoder.close()
    thread.join(timeout=20)
    assert [type(error) for error in errors] == [DecoderFailed]
    with pytest.raises(DecoderFailed, match="closed"):
        decoder.decode_frames(data, 1, side=64)


def test_a_failed_process_start_is_reported(
    guarded: GuardedDecoder, scene: RGB, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(module.subprocess, "Popen", refused)
    with pytest.raises(DecoderFailed, match="at the moment"):
        guarded.decode_frames(encoded(scene, "TIFF"), 1, side=64)
