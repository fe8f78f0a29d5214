"""What photographs say about themselves: dates, cameras, positions, from every container, and from damaged blocks."""

import io
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.conftest import COLOURS, picture

from lookalike.image import PhotoFacts, photo_facts

MAKE, MODEL, TAKEN, OFFSET, LENS = 0x010F, 0x0110, 0x9003, 0x9011, 0xA434
FULL = {
    "make": "Canon", "model": "Canon EOS 5D Mark III", "taken": "2019:07:04 12:30:05", "offset": "+02:00",
    "lens": "EF24-70mm f/2.8L II USM", "latitude": ("S", (52.0, 30.0, 15.5)), "longitude": ("W", (13.0, 24.0, 0.0)),
}  # fmt: skip
EXPECTED = PhotoFacts("2019-07-04T12:30:05+02:00", "Canon EOS 5D Mark III", FULL["lens"], -52.504306, -13.4)


def exif(**facts: Any) -> Image.Exif:
    block = Image.Exif()
    for tag, name in ((MAKE, "make"), (MODEL, "model")):
        if name in facts:
            block[tag] = facts[name]
    details = {
        tag: facts[name] for tag, name in ((TAKEN, "taken"), (OFFSET, "offset"), (LENS, "lens")) if name in facts
    }
    if details:
        block.get_ifd(0x8769).update(details)
    position = block.get_ifd(0x8825) if "latitude" in facts or "longitude" in facts else {}
    for tag, name in ((1, "latitude"), (3, "longitude")):
        if name in facts:
            position[tag], position[tag + 1] = facts[name]
    return block


def encoded(kind: str = "JPEG", **facts: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture(COLOURS["red"])).save(buffer, kind, exif=exif(**facts))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_every_container_is_read(kind: str) -> None:
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    # Pillow writes no directories below that of a TIFF; an EXIF block is one that has them.
    data = exif(**FULL).tobytes().removeprefix(b"Exif\0\0") if kind == "TIFF" else encoded(kind, **FULL)
    assert photo_facts(data) == EXPECTED
    assert photo_facts(encoded(kind)) == PhotoFacts()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2019:07:04 12:30:05", "2019-07-04T12:30:05"),
        ("2019-07-04 12:30:05", "2019-07-04T12:30:05"),
        ("2019:07:04 12:30", "2019-07-04T12:30:00"),
        ("2019:07:04", "2019-07-04T00:00:00"),
        ("0000:00:00 00:00:00", ""),
        ("    :  :     :  :  ", ""),
        ("2019:13:04 12:30:05", ""),
        ("2019:07:04 25:30:05", ""),
        ("1700:07:04 12:30:05", ""),
        ("2999:07:04 12:30:05", ""),
        ("yesterday", ""),
        ("", ""),
    ],
)
def test_dates(written: str, expected: str) -> None:
    facts = photo_facts(encoded(taken=written))
    assert facts.taken == expected
    assert facts.columns() == ({"taken": expected, "year": 2019} if expected else {})


@pytest.mark.parametrize(
    ("make", "model", "expected"),
    [
        ("NIKON CORPORATION", "NIKON D90", "NIKON D90"),
        ("Apple", "iPhone 6s", "Apple iPhone 6s"),
        ("", "X100", "X100"),
        ("Canon\0\0", "  EOS \n R5 ", "Canon EOS R5"),
        ("a" * 300, "b", "a" * 100),
        ("Leica", "\x01\x02", "Leica"),
    ],
)
def test_cameras(make: str, model: str, expected: str) -> None:
    assert photo_facts(encoded(make=make, model=model)).camera == expected


@pytest.mark.parametrize(
    ("latitude", "longitude", "expected"),
    [
        (("N", (52.0, 30.0, 0.0)), ("E", (13.0, 24.0, 0.0)), (52.5, 13.4)),
        (("S", (33.9,)), ("E", (151.2,)), None),  # a single number, as some writers store it, if it is readable
        (("", (33.9, 0.0, 0.0)), ("E", (151.2, 0.0, 0.0)), (None, None)),  # on which side of the equator?
        (("N", (0.0, 0.0, 0.0)), ("E", (0.0, 0.0, 0.0)), (None, None)),
        (("N", (95.0, 0.0, 0.0)), ("E", (13.0, 0.0, 0.0)), (None, None)),
        (("N", (52.0, 0.0, 0.0)), ("E", (190.0, 0.0, 0.0)), (None, None)),
    ],
)
def test_positions(latitude: Any, longitude: Any, expected: Any) -> None:
    facts = photo_facts(encoded(latitude=latitude, longitude=longitude))
    if expected is not None:
        assert (facts.latitude, facts.longitude) == expected
    assert (facts.latitude is None) == (facts.longitude is None)


def test_a_position_needs_both_numbers() -> None:
    assert photo_facts(encoded(latitude=("N", (52.0, 0.0, 0.0)))).columns() == {}


@pytest.mark.parametrize(
    "packet",
    [
        '<x:xmpmeta><rdf:Description exif:DateTimeOriginal="2015-03-02T10:11:12.5+01:00"/></x:xmpmeta>',
        "<x:xmpmeta><xmp:CreateDate>2015-03-02T10:11:12+01:00</xmp:CreateDate></x:xmpmeta>",
        "<x:xmpmeta xmlns:x='a'><a photoshop:DateCreated='2015-03-02T10:11:12+01:00'></x:xmpmeta>",
    ],
)
def test_xmp_has_the_date_where_exif_has_none(packet: str) -> None:
    body = b"http://ns.adobe.com/xap/1.0/\0" + packet.encode()
    data = encoded()
    data = data[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + data[2:]
    assert photo_facts(data).taken == "2015-03-02T10:11:12+01:00"
    dated = encoded(taken="2019:07:04 12:30:05")
    dated = dated[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + dated[2:]
    assert photo_facts(dated).taken == "2019-07-04T12:30:05"


@given(st.data())
def test_no_damage_raises(data: st.DataObject) -> None:
    whole = bytearray(FULL_JPEG)
    for _ in range(data.draw(st.integers(0, 30))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    facts = photo_facts(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    assert facts.latitude is None or -90 <= facts.latitude <= 90
    assert all(len(text) <= 100 and text.isprintable() for text in (facts.taken, facts.camera, facts.lens))


FULL_JPEG = encoded(**FULL)


def test_a_file_made_to_be_slow_is_not() -> None:
    entry = b"\x0f\x01\x02\0\xe8\x03\0\0\x08\0\0\0"
    bomb = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + entry * 5000
    start = time.process_time()
    photo_facts(bomb * 2000)
    photo_facts(b"Exif\0\0" * 1_000_000)
    photo_facts(b"<x:xmpmeta" + b'xmp:CreateDate="' * 1_000_000)
    photo_facts(os.urandom(20_000_000))
    assert time.process_time() - start < 5


def test_indexing_stores_the_facts(tmp_path: Path) -> None:
    """Index keeps the facts as columns; a manifest's are the user's."""
    from tests.conftest import ColourEmbedder

    from lookalike.search import Collection

    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "full.jpg").write_bytes(encoded(**FULL))
    (folder / "none.png").write_bytes(encoded("PNG"))
    names = ["taken", "year", "camera", "lens", "latitude", "longitude", "orientation", "bits"]
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos:
        photos.sync(folder)
        full, none = (row.metadata for row in photos.get(photos.ids(), names) if row)
        assert [full[name] for name in names] == [
            EXPECTED.taken, 2019, EXPECTED.camera, EXPECTED.lens, EXPECTED.latitude, EXPECTED.longitude, 1, 8,
        ]  # fmt: skip
        assert [none[name] for name in names] == [None] * 6 + [1, 8]
        assert photos.ids("year = 2019 and camera = 'Canon EOS 5D Mark III'") == ["photos/full.jpg"]
        # A copy has the same facts; a file that loses them has none, and keeps what a person said.
        (folder / "second.jpg").write_bytes((folder / "full.jpg").read_bytes())
        photos.update(["photos/full.jpg"], {"label": "mine", "mood": "blue"})
        (folder / "full.jpg").write_bytes(encoded())
        photos.sync()
        again, second = (row.metadata for row in photos.get(["photos/full.jpg", "photos/second.jpg"]) if row)
        assert (again["taken"], again["latitude"], again["label"], again["mood"]) == (
            EXPECTED.taken, None, "mine", "blue",
        )  # fmt: skip
        assert (second["taken"], second["latitude"]) == (EXPECTED.taken, EXPECTED.latitude)
        photos.sync(location=False)
        assert {"latitude", "longitude"}.isdisjoint(photos.store.columns())
        (folder / "third.jpg").write_bytes(encoded(**(FULL | {"make": "Leica"})))
        photos.sync()
        assert {"latitude", "longitude"}.isdisjoint(photos.store.columns())
        photos.sync(location=True)
        (folder / "fourth.jpg").write_bytes(encoded(**(FULL | {"make": "Sony"})))
        photos.sync()
        assert photos.ids("latitude < 0") == ["photos/fourth.jpg"]
        report = photos.add([folder / "fourth.jpg", encoded(**FULL)], ["a", "b"], [{"camera": "my own"}, {}])
        assert report.added == 2
        assert [row.metadata["camera"] for row in photos.get(["a", "b"]) if row] == ["my own", EXPECTED.camera]


def test_columns_of_these_names_that_a_user_has_stay_the_users(tmp_path: Path) -> None:
    from tests.conftest import ColourEmbedder

    from lookalike.search import Collection
    from lookalike.store import open_store

    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "full.jpg").write_bytes(encoded(**FULL))
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos:  # as an older version made it
        photos.store.drop_columns(["taken", "year", "camera", "lens", "latitude", "longitude", "orientation", "bits"])
        photos.store.set_settings({"photo_columns": ""})
        photos.add([np.full((20, 20, 3), 9, np.uint8)], ["own"], {"camera": 7, "year": "MMXIX"})
        photos.store.set_settings({"photo_columns": ""})
    with Collection.open(tmp_path / "c", model=ColourEmbedder()) as photos:
        photos.sync(folder)
        (row,) = photos.get(["photos/full.jpg"])
        assert row is not None
        assert (row.metadata["camera"], row.metadata["year"], row.metadata["lens"]) == (None, None, EXPECTED.lens)
        photos.sync(location=False)
        assert photos.store.columns()["year"] is str
    assert open_store(str(tmp_path / "c")).settings["photo_columns"]
    with Collection.open("memory:", model=ColourEmbedder(), create=True) as photos:
        table = tmp_path / "table.csv"
        table.write_text(f"path,camera,latitude\n{folder / 'full.jpg'},museum,1.5\n")
        photos.sync(table)
        assert photos.ids("camera = 'museum' and latitude = 1.5 and year = 2019")


def test_the_best_date_of_xmp_wins_wherever_it_is() -> None:
    packet = b'<x:xmpmeta xmp:CreateDate="2021-01-01T00:00:00" photoshop:DateCreated="1975-08-01T00:00:00"/>'
    assert photo_facts(b"\xff\xd8" + packet).taken == "1975-08-01T00:00:00"
    packet = packet.replace(b"/>", b' exif:DateTimeOriginal="1974-08-01T00:00:00"/>')
    assert photo_facts(b"\xff\xd8" + packet).taken == "1974-08-01T00:00:00"


def test_an_offset_that_is_none_is_left_out() -> None:
    for offset in ("+99:99", "+15:00", "+02:60", "nonsense"):
        assert photo_facts(encoded(taken="2019:07:04 12:30:05", offset=offset)).taken == "2019-07-04T12:30:05"


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "TIFF"])
def test_facts_behind_megabytes_of_pixels_are_read(kind: str) -> None:
    block = exif(**FULL).tobytes().removeprefix(b"Exif\0\0")
    pad = bytes(3_000_000)
    if kind == "WEBP":
        data = b"RIFF" + bytes(4) + b"WEBPVP8 " + len(pad).to_bytes(4, "little") + pad
        data += b"EXIF" + len(block).to_bytes(4, "little") + block
    elif kind == "PNG":
        data = b"\x89PNG\r\n\x1a\n" + len(pad).to_bytes(4, "big") + b"IDAT" + pad + bytes(4)
        data += len(block).to_bytes(4, "big") + b"eXIf" + block + bytes(4)
    else:  # the first directory lies behind the pixels, and its offsets count from the start
        first = 8 + len(pad)
        entry = (0x010F).to_bytes(2, "little") + (2).to_bytes(2, "little") + (6).to_bytes(4, "little")
        entry += (first + 18).to_bytes(4, "little")
        data = b"II*\0" + first.to_bytes(4, "little") + pad + b"\1\0" + entry + bytes(4) + b"Leica\0"
        assert photo_facts(data).camera == "Leica"
        return
    assert photo_facts(data) == EXPECTED


def test_a_manifests_columns_stay_when_positions_are_not_kept(tmp_path: Path) -> None:
    from tests.conftest import ColourEmbedder

    from lookalike.search import Collection

    (tmp_path / "a.jpg").write_bytes(encoded(**FULL))
    table = tmp_path / "table.csv"
    table.write_text(f"path,latitude,longitude\n{tmp_path / 'a.jpg'},51.5,1.25\n")
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos:
        photos.sync(table)
        photos.sync(location=False)
        photos.add([encoded(**FULL)], ["mine"], {"camera": "my own"})
        assert [row and row.metadata["latitude"] for row in photos.get(photos.ids("latitude = 51.5"))] == [51.5]
        assert photos.ids("camera = 'my own'") == ["mine"]


def test_a_persons_correction_survives_where_the_file_says_nothing(tmp_path: Path) -> None:
    from tests.conftest import ColourEmbedder

    from lookalike.search import Collection

    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "scan.jpg").write_bytes(encoded())
    with Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos:
        photos.sync(folder)
        photos.update(photos.ids(), {"taken": "1975-08-01T00:00:00", "year": 1975, "camera": "Leica"})
        (folder / "scan.jpg").write_bytes(encoded(lens="Elmar"))
        photos.sync()
        (row,) = photos.get(photos.ids())
        assert row is not None
        assert [row.metadata[n] for n in ("year", "camera", "lens")] == [1975, "Leica", "Elmar"]
        (folder / "scan.jpg").write_bytes(encoded(taken="2019:07:04 12:30:05"))
        photos.sync()
        assert photos.ids("year = 2019 and camera = 'Leica'") == photos.ids()
