"""Camera raw files are refused by their content; ordinary TIFFs are not, whatever their first page."""

import io
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lookalike.errors import UnreadableImage
from lookalike.image import decode, is_raw_file, read_header
from lookalike.image.containers.raw import raw_format

Tags = Mapping[int, tuple[int, Sequence[int] | bytes]]  # tag to (type, values); 2 is text

PREVIEW: Tags = {254: (4, [1]), 256: (3, [4]), 257: (3, [4]), 258: (3, [8]), 259: (3, [1]), 262: (3, [1])}
FULL: Tags = PREVIEW | {254: (4, [0])}


def tiff(*pages: Tags, subs: Sequence[Tags] = (), order: str = "<", big: bool = False) -> bytes:
    """A TIFF of 4 x 4 gray pages; `subs` are the first page's SubIFDs."""
    pointer, width = ("Q", 8) if big else ("I", 4)
    head = (b"II" if order == "<" else b"MM") + struct.pack(
        order + ("HHHQ" if big else "HI"), *((43, 8, 0, 16) if big else (42, 8))
    )
    body = bytearray()

    def put(data: bytes) -> int:
        body.extend(data)
        return len(head) + len(body) - len(data)

    def directory(tags: Tags, following: int, at_front: int | None = None) -> bytes:
        rows = []
        for tag, (kind, values) in sorted(tags.items()):
            letter = {1: "B", 2: "s", 3: "H", 4: "I"}[kind]
            data = values if isinstance(values, bytes) else struct.pack(f"{order}{len(values)}{letter}", *values)
            where = data.ljust(width, b"\0") if len(data) <= width else struct.pack(order + pointer, put(data))
            rows.append(struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, len(values)) + where)
        return (
            struct.pack(order + ("Q" if big else "H"), len(rows))
            + b"".join(rows)
            + struct.pack(order + pointer, following)
        )

    pixels: Tags = {273: (4, [len(head) + 4096]), 277: (3, [1]), 278: (3, [4]), 279: (4, [16])}
    first_size = 4096  # the first directory directly follows the header, then everything else
    body.extend(bytes(first_size) + bytes(range(0, 256, 16)))
    offsets = [put(directory(sub | pixels, 0)) for sub in subs]
    following = 0
    for page in reversed(pages[1:]):
        following = put(directory(page | pixels, following))
    own = dict(pages[0] | pixels) | ({330: (4, offsets)} if offsets else {})
    first = directory(own, following)
    body[: len(first)] = first
    return head + bytes(body)


def reason(data: bytes) -> str:
    with pytest.raises(UnreadableImage) as caught:
        decode(data)
    with pytest.raises(UnreadableImage):
        read_header(data)
    return str(caught.value)


LAYOUTS = [("<", False), (">", False), ("<", True), (">", True)]
DNG: Tags = {50706: (1, [1, 4, 0, 0])}
RAWS: dict[str, tuple[Tags, Sequence[Tags]]] = {
    "DNG with a preview first": (PREVIEW | DNG, [FULL | {262: (3, [32803])}]),
    "DNG, linear": (FULL | DNG | {262: (3, [34892])}, []),
    "DNG, its version alone": (FULL | DNG, []),
    "NEF": (PREVIEW | {271: (2, b"NIKON CORPORATION\0")}, [PREVIEW, FULL | {259: (3, [34713]), 262: (3, [32803])}]),
    "NEF, small": (PREVIEW | {271: (2, b"NIKON CORPORATION\0")}, [FULL | {259: (3, [34713]), 262: (3, [6])}]),
    "ARW": (PREVIEW | {271: (2, b"SONY\0")}, [FULL | {259: (3, [32767]), 262: (3, [32803])}]),
    "PEF": (FULL | {271: (2, b"PENTAX Corporation\0"), 259: (3, [65535]), 262: (3, [32803])}, []),
    "SRW": (PREVIEW | {271: (2, b"SAMSUNG\0")}, [FULL | {259: (3, [32770]), 262: (3, [32803])}]),
    "3FR": (PREVIEW | {271: (2, b"Hasselblad\0")}, [FULL | {262: (3, [32803])}]),
    "MEF": (FULL | {271: (2, b"Mamiya-OP Co.,Ltd.\0")}, [FULL | {262: (3, [32803])}]),
    "TIFF of no known maker": (PREVIEW, [FULL | {262: (3, [32803])}]),
}


@pytest.mark.parametrize(("order", "big"), LAYOUTS)
@pytest.mark.parametrize("name", RAWS)
def test_raw_files_in_a_tiff_are_refused_by_content(name: str, order: str, big: bool) -> None:
    page, subs = RAWS[name]
    data = tiff(page, subs=subs, order=order, big=big)
    kind = name.replace(",", "").split()[0]
    assert raw_format(data) == kind
    assert reason(data) == f"is a camera's raw file ({kind}): export it as JPEG first"


MAGICS = {
    "CR2": b"II*\0\x10\0\0\0CR\2\0", "CR3": b"\0\0\0\x18ftypcrx \0\0\0\1", "CRW": b"II\x1a\0\0\0HEAPCCDR",
    "ORF": b"IIRO\x08\0\0\0", "ORF of old": b"IIRS\x08\0\0\0", "ORF, big end first": b"MMOR\0\0\0\x08",
    "RW2": b"IIU\0\x18\0\0\0", "RAF": b"FUJIFILMCCD-RAW 0201", "X3F": b"FOVb\2\0\2\0", "MRW": b"\0MRM\0\0\x0a\x0c",
    "IIQ": b"II*\0\x08\x0a\0\0IIIICwaR",
}  # fmt: skip


@pytest.mark.parametrize("name", MAGICS)
def test_raw_files_with_a_magic_number_are_refused(name: str) -> None:
    kind = name.replace(",", "").split()[0]
    assert reason(MAGICS[name] + bytes(64)) == f"is a camera's raw file ({kind}): export it as JPEG first"


@pytest.mark.parametrize(("order", "big"), LAYOUTS)
@pytest.mark.parametrize(
    ("pages", "subs"),
    [
        ([FULL], []),
        ([PREVIEW, FULL], []),
        ([FULL, PREVIEW, PREVIEW], []),
        ([FULL], [PREVIEW, PREVIEW]),
        ([PREVIEW], [FULL]),
        ([FULL | {271: (2, b"NIKON CORPORATION\0")}, PREVIEW], []),
        ([FULL | {271: (2, b"Canon\0")}], [PREVIEW]),
    ],
    ids=[
        "plain",
        "thumbnail first",
        "thumbnails last",
        "pyramid",
        "small page with a SubIFD",
        "of a Nikon",
        "of a Canon",
    ],
)
def test_ordinary_tiffs_are_read(pages: list[Tags], subs: list[Tags], order: str, big: bool) -> None:
    data = tiff(*pages, subs=subs, order=order, big=big)
    assert raw_format(data) is None
    if not big:
        assert read_header(data).format == "TIFF"


@pytest.mark.parametrize("level", [0x49, 0x4D, 0x43, 0])
def test_gray_pixels_that_equal_a_magic_number_are_pixels(level: int) -> None:
    """libtiff writes the pixels directly after the header."""
    file = io.BytesIO()
    Image.fromarray(np.full((40, 40), level, np.uint8)).save(file, "TIFF")
    data = b"II*\0" + struct.pack("<I", 8 + 1600) + bytes([level]) * 1600 + file.getvalue()[8:]
    assert raw_format(data) is None
    assert raw_format(file.getvalue()) is None


@given(st.sampled_from(sorted(RAWS)), st.sampled_from(LAYOUTS), st.data())
def test_damage_never_raises(name: str, layout: tuple[str, bool], data: st.DataObject) -> None:
    page, subs = RAWS[name]
    whole = bytearray(tiff(page, subs=subs, order=layout[0], big=layout[1]))
    for _ in range(data.draw(st.integers(0, 6))):
        whole[data.draw(st.integers(4, 400))] = data.draw(st.integers(0, 255))
    raw_format(bytes(whole[: data.draw(st.integers(0, len(whole)))]))


def test_a_file_is_detected_by_extension_or_content(tmp_path: Path) -> None:
    raw, plain = tmp_path / "1ds.TIF", tmp_path / "scan.tif"
    raw.write_bytes(tiff(PREVIEW | DNG))
    plain.write_bytes(tiff(PREVIEW, FULL))
    (tmp_path / "empty.tif").write_bytes(b"")
    assert is_raw_file(str(raw))
    assert is_raw_file("/nowhere/IMG_1.NEF")
    assert not any(
        map(is_raw_file, [str(plain), str(tmp_path / "empty.tif"), "/nowhere/a.tif", "/nowhere/a.jpg", "nef"])
    )


def test_real_raw_files_are_refused_and_ordinary_tiffs_are_not(data: Path) -> None:
    cases = data / "cases"
    if not cases.is_dir():
        pytest.skip("the test data have no cases")
    assert "camera's raw file (DNG)" in reason((cases / "raw/IMG_7.dng").read_bytes())
    tiffs = [path for path in data.rglob("*.tif*") if path.is_file()]
    assert tiffs
    assert [path for path in tiffs if raw_format(path.read_bytes())] == []
