"""The child process that decodes what may be hostile: one request after another on stdin, answers on stdout.

Run as `python -m lookalike.image.decoding.child MEMORY_BYTES`, by `guarded` and the server. It holds no secret and no
collection, may not write files, and has a limit on its memory and on the processor time of each request; whoever waits
for it kills it when it takes too long. Each message is the length of a JSON head, the length of a body (both 4 bytes,
big end first), the head, the body. A head with `same` is about the body of the request before.
"""

import json
import os
import struct
import sys
from contextlib import suppress
from typing import Any, BinaryIO

LENGTHS = struct.Struct(">II")


def main() -> None:
    """Answer until stdin ends."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a codec that prints must not speak into the answers
    _confine(int(sys.argv[1]))
    _warm()
    _send(sink, {"ready": True}, b"")
    body = b""
    while message := _receive(source):
        head, sent = message
        body = body if head.get("same") else sent
        _allow(head.get("seconds"))
        try:
            told, data = _answer(head, body)
        except MemoryError:
            told, data = {"refused": "large", "reason": "there is not enough memory to decode it"}, b""
        except Exception as error:
            told, data = _refusal(error), b""
        _send(sink, told, data)


def _confine(memory: int) -> None:
    """Limits of the system's own; what a platform does not know is left out."""
    try:
        import resource
    except ImportError:  # Windows
        return

    wanted = {"RLIMIT_AS": memory, "RLIMIT_FSIZE": 0, "RLIMIT_NOFILE": 64, "RLIMIT_CORE": 0}
    for name, limit in wanted.items():
        kind = getattr(resource, name, None)
        if kind is not None:
            with suppress(ValueError, OSError):
                resource.setrlimit(kind, (limit, limit))


def _allow(seconds: float | None) -> None:
    """Processor time for this request, also when whoever asked has died and will not end us."""
    if seconds is None:
        return
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime + seconds) + 2, hard))


def _warm() -> None:
    """Load the readers before the first request, so that none pays for it."""
    import cv2
    import PIL.Image

    from lookalike.image.decoding.decode import Picture
    from lookalike.image.resize import fit

    cv2.setNumThreads(1)
    assert all((PIL.Image, Picture, fit))


def _receive(source: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    lengths = source.read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        return None
    head, body = LENGTHS.unpack(lengths)
    return json.loads(source.read(head)), source.read(body)


def _send(sink: BinaryIO, head: dict[str, Any], body: bytes) -> None:
    told = json.dumps(head).encode()
    sink.write(LENGTHS.pack(len(told), len(body)) + told + body)
    sink.flush()


def _refusal(error: Exception) -> dict[str, str]:
    from lookalike.errors import BadQuery, ImageTooLarge

    kind = "large" if isinstance(error, ImageTooLarge) else "query" if isinstance(error, BadQuery) else "unreadable"
    return {"refused": kind, "reason": str(error)[:300]}


def _answer(head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    """The picture fitted to the model, or as a JPEG of some size, with its facts."""
    from lookalike.image.decoding.decode import decode
    from lookalike.image.decoding.header import read_facts
    from lookalike.image.decoding.limits import Limits
    from lookalike.image.resize import crop, fit, is_plain, thumbnail

    if "header" in head:
        found = read_facts(data)
        header, curve = found.header, found.space.high_dynamic_range if found.space else ""
        return {"width": header.width, "height": header.height, "frames": header.frames, "range": curve}, b""
    limits = Limits(max_pixels=head["max_pixels"], max_bytes=max(len(data), 1))
    if "frames" in head:
        return _frames(head, data, limits)
    region = head.get("region")
    share = min(region[2:]) if region else 1.0
    picture = decode(data, side=max(1, round(head["side"] / share)), limits=limits)
    image = crop(picture.image, tuple(region)) if region else picture.image
    facts = {name: getattr(picture, name) for name in ("width", "height", "format", "frame", "frames")}
    if head.get("pixels"):
        return facts | {"shape": image.shape}, image.tobytes()
    if "preprocessing" not in head:
        return facts, thumbnail(image, head["side"], 85)
    fitted = fit(image, _preprocessing(head["preprocessing"]))
    small = thumbnail(picture.image, head["thumbnail"]) if head.get("thumbnail") else b""
    facts |= {"plain": is_plain(fitted) if small else False, "shape": fitted.shape}
    return facts, fitted.tobytes() + small


def _frames(head: dict[str, Any], data: bytes, limits: Any) -> tuple[dict[str, Any], bytes]:
    """Some frames, reduced as asked, one after another."""
    from lookalike.image.decoding.decode import decode_frames

    pictures = decode_frames(data, head["frames"], side=head["side"], limits=limits)
    facts = [
        {name: getattr(picture, name) for name in ("width", "height", "format", "frame", "frames")}
        | {"shape": picture.image.shape}
        for picture in pictures
    ]
    return {"pictures": facts}, b"".join(picture.image.tobytes() for picture in pictures)


def _preprocessing(told: dict[str, Any]) -> Any:
    from lookalike.types import Preprocessing

    kept: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
    return Preprocessing(**kept)


if __name__ == "__main__":
    main()
