"""Child process that decodes untrusted images: it reads requests from stdin and writes responses to stdout.

Started as `python -m lookalike.image.decoding.child MEMORY_BYTES` by `guarded` and the server. It holds no secrets and
no collection, cannot write files, and has limits on its memory and on the CPU time of each request; the parent kills it
when it takes too long. A message consists of the length of a JSON header, the length of a body (4 bytes each, big
endian), the header and the body. A header with `same` refers to the body of the previous request.
"""

import faulthandler
import json
import os
import struct
import sys
from contextlib import suppress
from typing import Any, BinaryIO

LENGTHS = struct.Struct(">II")
MAX_TRACEBACK = 16 * 1024  # characters; the end names the error


def main() -> None:
    """Serve requests until stdin is closed."""
    faulthandler.enable()  # a crash writes its stack to stderr
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # the output of a codec that prints must not mix with the responses
    _confine(int(sys.argv[1]))
    _preload_readers()
    _send(sink, {"ready": True}, b"")
    body = b""
    while message := _receive(source):
        head, new_body = message
        body = body if head.get("same") else new_body
        _limit_cpu_time(head.get("seconds"))
        try:
            response, data = _respond(head, body)
        except MemoryError:
            response, data = {"refused": "large", "reason": "there is not enough memory to decode it"}, b""
        except Exception as error:
            response, data = _refusal(error), b""
        _send(sink, response, data)


def _confine(memory: int) -> None:
    """Set resource limits on this process; those the platform does not support are skipped."""
    try:
        import resource
    except ImportError:  # Windows
        return

    limits = {"RLIMIT_AS": memory, "RLIMIT_FSIZE": 0, "RLIMIT_NOFILE": 64, "RLIMIT_CORE": 0}
    for name, limit in limits.items():
        kind = getattr(resource, name, None)
        if kind is not None:
            with suppress(ValueError, OSError):
                resource.setrlimit(kind, (limit, limit))


def _limit_cpu_time(seconds: float | None) -> None:
    """Limit the CPU time of one request, so that it ends even when the parent has died."""
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


def _preload_readers() -> None:
    """Import the readers before the first request, so that no request waits for it."""
    import cv2
    import PIL.Image

    from lookalike.image.decoding.decode import DecodedImage
    from lookalike.image.resize import fit

    cv2.setNumThreads(1)
    assert all((PIL.Image, DecodedImage, fit))


def _receive(source: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    lengths = source.read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        return None
    head, body = LENGTHS.unpack(lengths)
    return json.loads(source.read(head)), source.read(body)


def _send(sink: BinaryIO, head: dict[str, Any], body: bytes) -> None:
    header = json.dumps(head).encode()
    sink.write(LENGTHS.pack(len(header), len(body)) + header + body)
    sink.flush()


def _refusal(error: Exception) -> dict[str, str]:
    """Return the response to a request that failed; `traceback`, for the parent's log, if nothing foresaw the error."""
    from lookalike.errors import BadQuery, ImageTooLarge, LookalikeError

    kind = "large" if isinstance(error, ImageTooLarge) else "query" if isinstance(error, BadQuery) else "unreadable"
    refusal = {"refused": kind, "reason": str(error)[:300]}
    return refusal if isinstance(error, LookalikeError) else refusal | {"traceback": _traceback(error)}


def _traceback(error: Exception) -> str:
    import traceback

    return "".join(traceback.format_exception(error))[-MAX_TRACEBACK:]


def _respond(head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the properties of an image and, as `head` requests, its pixels, model input, thumbnail or nothing."""
    from lookalike.image.decoding.decode import decode
    from lookalike.image.decoding.header import read_encoding
    from lookalike.image.decoding.limits import Limits
    from lookalike.image.resize import crop, fit, is_plain, thumbnail

    if "header" in head:
        encoding = read_encoding(data)
        header, curve = encoding.header, encoding.space.high_dynamic_range if encoding.space else ""
        return {"width": header.width, "height": header.height, "frames": header.frames, "range": curve}, b""
    limits = Limits(max_pixels=head["max_pixels"], max_bytes=max(len(data), 1))
    if "frames" in head:
        return _frames(head, data, limits)
    region = head.get("region")
    share = min(region[2:]) if region else 1.0
    decoded = decode(data, side=max(1, round(head["side"] / share)), limits=limits)
    image = crop(decoded.image, tuple(region)) if region else decoded.image
    properties = {name: getattr(decoded, name) for name in ("width", "height", "format", "frame", "frames")}
    if head.get("pixels"):
        return properties | {"shape": image.shape}, image.tobytes()
    if "preprocessing" not in head:
        return properties, thumbnail(image, head["side"], 85)
    fitted = fit(image, _preprocessing(head["preprocessing"]))
    small = thumbnail(decoded.image, head["thumbnail"]) if head.get("thumbnail") else b""
    properties |= {"plain": is_plain(fitted) if small else False, "shape": fitted.shape}
    return properties, fitted.tobytes() + small


def _frames(head: dict[str, Any], data: bytes, limits: Any) -> tuple[dict[str, Any], bytes]:
    """Return evenly spaced frames, reduced to the requested side; the body is their pixels one after another."""
    from lookalike.image.decoding.decode import decode_frames

    images = decode_frames(data, head["frames"], side=head["side"], limits=limits)
    names = ("width", "height", "format", "frame", "frames", "bits", "orientation")
    properties = [
        {name: getattr(decoded, name) for name in names} | {"shape": decoded.image.shape} for decoded in images
    ]
    return {"pictures": properties}, b"".join(decoded.image.tobytes() for decoded in images)


def _preprocessing(fields: dict[str, Any]) -> Any:
    from lookalike.types import Preprocessing

    with_tuples: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    return Preprocessing(**with_tuples)


if __name__ == "__main__":
    main()
