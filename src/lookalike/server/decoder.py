"""The child process that decodes what strangers upload: one request after another on stdin, answers on stdout.

Run as `python -m lookalike.server.decoder MEMORY_BYTES`. It holds no secret and no collection, may not write files,
and has a limit on its memory; whoever waits for it kills it when it takes too long. Each message is the length of a
JSON head, the length of a body (both 4 bytes, big end first), the head, the body.
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
    while message := _receive(source):
        head, body = message
        try:
            told, data = _answer(head, body)
        except MemoryError:
            told, data = {"refused": "large", "reason": "there is not enough memory to decode it"}, b""
        except Exception as error:
            told, data = _refusal(error), b""
        _send(sink, told, data)


def _confine(memory: int) -> None:
    """Limits of the system's own; what a platform does not know is left out."""
    import resource

    wanted = {"RLIMIT_AS": memory, "RLIMIT_FSIZE": 0, "RLIMIT_NOFILE": 64, "RLIMIT_CORE": 0}
    for name, limit in wanted.items():
        kind = getattr(resource, name, None)
        if kind is not None:
            with suppress(ValueError, OSError):
                resource.setrlimit(kind, (limit, limit))


def _warm() -> None:
    """Load the readers before the first request, so that none pays for it."""
    import cv2
    import PIL.Image

    import lookalike.image

    cv2.setNumThreads(1)
    assert PIL.Image
    assert lookalike.image


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
    from lookalike.image import Limits, crop, decode, fit, is_plain, thumbnail

    limits = Limits(max_pixels=head["max_pixels"], max_bytes=max(len(data), 1))
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


def _preprocessing(told: dict[str, Any]) -> Any:
    from lookalike.types import Preprocessing

    kept: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
    return Preprocessing(**kept)


if __name__ == "__main__":
    main()
