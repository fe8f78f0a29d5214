"""The supported image formats: magic numbers, file extensions and Pillow plugins.

The format is detected from the bytes, never from the extension; extensions only select the candidate files in a folder.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """An image format: its name, a test of the first bytes, its extensions, and Pillow's plugin as (module, class)."""

    name: str
    matches: Callable[[bytes], bool]
    extensions: tuple[str, ...]
    plugin: tuple[str, str] | None = None


def _pil(name: str) -> tuple[str, str]:
    return f"PIL.{name}ImagePlugin", f"{name}ImageFile"


def _starts(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magics)


def _brand(*brands: bytes) -> Callable[[bytes], bool]:
    """Return a test for ISO media files with one of these brands, major or compatible."""

    def matches(head: bytes) -> bool:
        if head[4:8] != b"ftyp":
            return False
        box = head[8 : min(max(int.from_bytes(head[:4], "big"), 12), 256)]
        return any(box[i : i + 4] in brands for i in (0, *range(8, len(box), 4)))

    return matches


def _webp(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def _icon(kind: int) -> Callable[[bytes], bool]:
    magic = bytes((0, 0, kind, 0))
    return lambda head: head.startswith(magic) and head[5:6] == b"\0" and head[4:5] != b"\0"


def _pcx(head: bytes) -> bool:
    return head[:1] == b"\x0a" and head[1:2] in (b"\0", b"\2", b"\3", b"\5") and head[2:3] == b"\1"


def _tga(head: bytes) -> bool:
    """Targa has no magic number; its first fields must be consistent."""
    if len(head) < 18 or head[1] > 1:
        return False
    mapped, kind, depth = head[1], head[2], head[16]
    sized = any(head[12:14]) and any(head[14:16])
    if kind in (1, 9):
        return sized and mapped == 1 and depth == 8 and head[7] in (15, 16, 24, 32)
    return sized and mapped == 0 and kind in (2, 3, 10, 11) and depth in (1, 8, 16, 24, 32)


def _fli(head: bytes) -> bool:
    return head[4:6] in (b"\x11\xaf", b"\x12\xaf") and head[14:16] in (b"\0\0", b"\3\0")


# The order matters where tests overlap: AVIF before HEIC (both may have brand "mif1"), Targa last.
FORMATS: tuple[Format, ...] = (
    Format("JPEG", _starts(b"\xff\xd8\xff"), ("jpg", "jpeg", "jpe", "jfif", "jif", "mpo"), _pil("Jpeg")),
    Format("PNG", _starts(b"\x89PNG\r\n\x1a\n"), ("png", "apng"), _pil("Png")),
    Format("WEBP", _webp, ("webp",), _pil("WebP")),
    Format("GIF", _starts(b"GIF87a", b"GIF89a"), ("gif",), _pil("Gif")),
    Format("TIFF", _starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), ("tif", "tiff"), _pil("Tiff")),
    Format("BMP", _starts(b"BM"), ("bmp", "dib"), _pil("Bmp")),
    Format("AVIF", _brand(b"avif", b"avis"), ("avif", "avifs"), _pil("Avif")),
    Format(
        "HEIC",
        _brand(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"),
        ("heic", "heif", "heics", "heifs", "hif"),
        ("pillow_heif.as_plugin", "HeifImageFile"),
    ),
    Format(
        "JPEG2000",
        _starts(b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
        ("jp2", "j2k", "jpf", "jpx", "j2c", "jpc"),
        _pil("Jpeg2K"),
    ),
    Format("JXL", _starts(b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"), ("jxl",)),
    Format("PAM", _starts(b"P7\n", b"P7\r\n"), ("pam",)),
    Format(
        "PNM",
        lambda head: head[:1] == b"P" and head[1:2] in b"123456f" and head[2:3].isspace(),
        ("pnm", "pbm", "pgm", "ppm", "pfm"),
        _pil("Ppm"),
    ),
    Format("PSD", _starts(b"8BPS"), ("psd", "psb"), _pil("Psd")),
    Format("ICO", _icon(1), ("ico",), _pil("Ico")),
    Format("CUR", _icon(2), ("cur",), _pil("Cur")),
    Format("ICNS", _starts(b"icns"), ("icns",), _pil("Icns")),
    Format("DDS", _starts(b"DDS "), ("dds",), _pil("Dds")),
    Format("QOI", _starts(b"qoif"), ("qoi",), _pil("Qoi")),
    Format("SGI", _starts(b"\x01\xda"), ("sgi", "rgb", "rgba", "bw"), _pil("Sgi")),
    Format("SUN", _starts(b"\x59\xa6\x6a\x95"), ("ras",), _pil("Sun")),
    Format("XBM", _starts(b"#define"), ("xbm",), _pil("Xbm")),
    Format("XPM", _starts(b"/* XPM */"), ("xpm",), _pil("Xpm")),
    Format("DCX", _starts(b"\xb1\x68\xde\x3a"), ("dcx",), _pil("Dcx")),
    Format("PCX", _pcx, ("pcx",), _pil("Pcx")),
    Format("FLI", _fli, ("fli", "flc"), _pil("Fli")),
    Format("TGA", _tga, ("tga", "vda", "icb", "vst"), _pil("Tga")),
)

EXTENSIONS: frozenset[str] = frozenset(extension for known in FORMATS for extension in known.extensions)
"""Extensions of candidate files in a folder, lower case, without the dot."""

RAW_EXTENSIONS = frozenset({
    "3fr", "ari", "arw", "bay", "cap", "cr2", "cr3", "crw", "dcr", "dcs", "dng", "drf", "eip", "erf",
    "fff", "gpr", "iiq", "k25", "kdc", "mdc", "mef", "mos", "mrw", "nef", "nrw", "orf", "pef", "ptx",
    "pxn", "raf", "rw2", "rwl", "rwz", "sr2", "srf", "srw", "x3f",
})  # fmt: skip
"""Extensions of camera raw files, lower case, without the dot. Raw files are not decoded and are skipped in folders."""

BY_NAME: dict[str, Format] = {known.name: known for known in FORMATS}

# Files that are often passed by mistake, each with an explanation and the way out.
_REFUSED: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (_starts(b"%PDF"), "is a PDF document: save its pages as PNG or JPEG first"),
    (_starts(b"%!PS", b"\xc5\xd0\xd3\xc6"), "is a PostScript drawing: save it as PNG first"),
    (_starts(b"\xd7\xcd\xc6\x9a", b"\x01\0\0\0"), "is a Windows drawing (WMF or EMF): save it as PNG first"),
    (_starts(b"PK\x03\x04"), "is a zip archive or an office document: name a .zip as a source to read what is inside"),
    (
        _starts(b"\x1f\x8b", b"BZh", b"\xfd7zXZ"),
        "is a compressed file: name a .tar.gz as a source to read what is inside",
    ),
    (_starts(b"Rar!", b"7z\xbc\xaf"), "is an archive in an unsupported format: unpack it, or convert it to zip"),
    (_starts(b"\x1aE\xdf\xa3", b"\0\0\x01\xba", b"OggS"), "is a video: save a frame as JPEG first"),
    (lambda head: head[4:8] in (b"ftyp", b"moov"), "is a video: save a frame as JPEG first"),
    (lambda head: head[:4] == b"RIFF", "is an audio or video file: save a frame as JPEG first"),
    (_starts(b"version https://git-lfs"), "is a Git LFS pointer, not the image itself: run git lfs pull"),
)


def sniff(data: bytes) -> Format | None:
    """Return the format whose test the first bytes pass, or None."""
    head = bytes(data[:256])
    return next((known for known in FORMATS if known.matches(head)), None)


def refusal(data: bytes) -> str:
    """Return the reason why bytes of no known format are rejected."""
    head = bytes(data[:1024])
    if not head:
        return "is empty (0 bytes)"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<svg") or (text.startswith((b"<?xml", b"<!doctype svg", b"<!--")) and b"<svg" in text):
        return "is an SVG drawing, which has no pixels: save it as PNG first"
    if text.startswith((b"<!doctype html", b"<html", b"<head")):
        return "is a web page, not an image: the download probably failed"
    if not any(head):
        return "is not a supported image format (contains only zeros: the copy or the disk failed)"
    for matches, sentence in _REFUSED:
        if matches(head):
            return sentence
    return f"is not a supported image format (starts with {_shown(head[:8])})"


def _shown(head: bytes) -> str:
    if all(32 <= byte < 127 for byte in head):
        return repr(head.decode("ascii"))
    return head.hex(" ").upper()
