"""Which picture is kept, and the words for it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.duplicates.keep.rules import DEFAULT, RULES, Keep, parse_rule
from lookalike.duplicates.search.collection_arrays import FileFacts, may_replace
from lookalike.errors import BadQuery
from tests.duplicates.pictures import save, scene


def photo(path: str, **facts: object) -> FileFacts:
    return FileFacts(id=path, path=path, **facts)  # type: ignore[arg-type]


def best(rules: str, *files: FileFacts) -> tuple[str, str]:
    """The path of the kept one, and the reason against the last."""
    keep = Keep(rules)
    order = [files[at] for at in keep.order(range(len(files)), files)]
    return order[0].path, keep.reason(order[0], order[-1])


LARGE = photo("/p/large.jpg", width=4000, height=3000, size=900, mtime_ns=2 * 10**18, format="JPEG")
SMALL = photo("/p/small.png", width=400, height=300, size=5000, mtime_ns=10**18, format="PNG")


@pytest.mark.parametrize(
    ("rules", "keep_path", "reason"),
    [
        ("largest", "/p/large.jpg", "is larger (4000 × 3000 against 400 × 300 pixels)"),
        ("smallest", "/p/small.png", "is smaller (400 × 300 against 4000 × 3000 pixels)"),
        ("heaviest", "/p/small.png", "is the larger file (5,000 against 900 bytes)"),
        ("lightest", "/p/large.jpg", "is the smaller file (900 against 5,000 bytes)"),
        ("oldest", "/p/small.png", "is older (2001-09-09 01:46 against 2033-05-18 03:33)"),
        ("newest", "/p/large.jpg", "is newer (2033-05-18 03:33 against 2001-09-09 01:46)"),
        ("format", "/p/small.png", "has the preferred format (PNG over JPEG)"),
        ("format:JPEG>PNG", "/p/large.jpg", "has the preferred format (JPEG over PNG)"),
        ("path", "/p/large.jpg", "has a shorter path, or one that sorts first"),
    ],
)
def test_each_rule_has_its_choice_and_its_words(rules: str, keep_path: str, reason: str) -> None:
    assert best(rules, SMALL, LARGE) == best(rules, LARGE, SMALL) == (keep_path, reason)


def test_the_first_rule_that_tells_them_apart_decides() -> None:
    twin = photo("/p/twin.png", width=4000, height=3000, format="PNG")
    assert best("largest,format", LARGE, twin) == ("/p/twin.png", "has the preferred format (PNG over JPEG)")


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        *(
            (folder, "is not in a recycle bin or snapshot")
            for folder in (
                "@Recycle",
                "#recycle",
                "$RECYCLE.BIN",
                ".Trash-1000",
                "#snapshot",
                "~snapshot",
                ".snapshots",
            )
        ),
        ("@eaDir", "is not among a program's own files"),
        ("a.lrdata", "is not among a program's own files"),
        ("L.photoslibrary/resources/derivatives", "is not among a program's own files"),
    ],
)
@pytest.mark.parametrize("rules", [",".join(DEFAULT), *RULES, "in:@Recycle"])
def test_what_is_set_aside_is_never_kept_over_a_picture_outside(folder: str, reason: str, rules: str) -> None:
    better = {"width": 4000, "height": 3000, "size": 10**6, "mtime_ns": 1, "format": "PNG"}
    outside = photo(
        "/nas/photos/2019/a long name - Copy.jpg", width=40, height=30, size=10**3, mtime_ns=2, format="GIF"
    )
    for inside in (
        photo(f"/nas/{folder}/b.png", **better),
        photo(f"D:\\nas\\{folder}\\b.png".replace("/", "\\"), **better),
    ):
        assert best(rules, inside, outside) == best(rules, outside, inside) == (outside.path, reason)


def test_of_two_that_are_set_aside_the_rules_decide_and_originals_of_a_library_are_not_set_aside() -> None:
    aside = (
        photo("/nas/@Recycle/large.jpg", width=400, height=300),
        photo("/nas/#snapshot/small.jpg", width=4, height=3),
    )
    assert best("largest", *aside)[0] == aside[0].path
    original, copy = photo("/L.photoslibrary/originals/a.jpg", width=40, height=30), photo("/a.jpg", width=4, height=3)
    assert best("largest", original, copy)[0] == original.path


def test_a_choice_does_not_lift_a_picture_out_of_the_recycle_bin() -> None:
    binned, outside = photo("/nas/@Recycle/a.jpg", sha256="aa"), photo("/nas/a.jpg", sha256="bb")
    keep = Keep()
    keep.measures.chosen["aa"] = (1, binned.path)
    assert keep.order([0, 1], [binned, outside]) == [1, 0]
    assert not may_replace(binned.path, outside.path)
    assert may_replace(binned.path, "/nas/@Recycle/b.jpg")
    assert may_replace(outside.path, binned.path)


def test_in_takes_a_folder_name_some_folders_or_a_beginning() -> None:
    a, b = photo("/home/me/Originals/a.jpg"), photo("/home/me/old/Originals2/a.jpg")
    for rule in ("in:Originals", "in:me/Originals", "in:/home/me/Originals", "in:Originals/", "not-in:Originals2"):
        assert best(rule, b, a)[0] == a.path, rule
    assert best("in:Originals", b, a)[1] == "is in Originals"
    assert best("in:rigi", b, a)[1] != "is in rigi"


def test_a_name_like_a_copys_is_not_kept() -> None:
    for name in ("IMG_1 (1).jpg", "IMG_1 - Copy.jpg", "Kopie von IMG_1.jpg", "IMG_1~2.jpg", "IMG_1_edited.jpg"):
        assert best("name", photo(f"/{name}"), photo("/a longer name but no copy's.jpg"))[0].startswith("/a longer")
    assert (
        best("name", photo("/IMG_0002.jpg"), photo("/IMG_0001.jpg"))[1] == "has a shorter path, or one that sorts first"
    )


def test_sharpest_sees_through_enlarging(tmp_path: Path) -> None:
    sharp = save(scene(1), tmp_path / "sharp.png")
    blown_up = save(np.asarray(Image.open(sharp).resize((80, 60)).resize((640, 480))), tmp_path / "blown.png")
    keep_path, reason = best("sharpest", photo(str(blown_up)), photo(str(sharp)))
    assert keep_path == str(sharp)
    assert reason.startswith("is sharper (detail ")


def test_a_lossless_file_is_no_better_for_being_heavier() -> None:
    original = photo("/p/b.png", width=4, height=3, size=900, mtime_ns=1, format="PNG")
    noisy = photo("/p/a.png", width=4, height=3, size=1900, mtime_ns=2, format="PNG")
    assert best(",".join(DEFAULT), noisy, original)[0] == original.path
    fine, coarse = (photo(f"/p/{size}.jpg", size=size, format="JPEG") for size in (900, 400))
    assert best(",".join(DEFAULT), coarse, fine) == (fine.path, "is less compressed (900 against 400 bytes)")


def test_a_file_comes_before_a_link_to_it_and_before_any_rule(tmp_path: Path) -> None:
    file = save(scene(1), tmp_path / "a much longer name.png")
    link = tmp_path / "a.png"
    link.symlink_to(file)
    small, large = photo(str(file), width=4, height=3), photo(str(link), width=40, height=30)
    assert best("largest,path", large, small) == (str(file), "is a file, not a link")


def test_metadata_counts_exif_and_a_sidecar(tmp_path: Path) -> None:
    bare = save(scene(1), tmp_path / "bare.jpg")
    dated = tmp_path / "dated.jpg"
    exif = Image.Exif()
    exif[0x010F], exif[0x0132] = "Maker", "2020:01:01 00:00:00"
    Image.open(bare).save(dated, exif=exif)
    assert best("metadata", photo(str(bare)), photo(str(dated))) == (
        str(dated),
        "has more metadata (2 fields against 0)",
    )
    (tmp_path / "bare.xmp").write_text("<x/>")
    assert Keep("metadata").reason(photo(str(bare)), photo(str(tmp_path / "gone.jpg"))) == (
        "has more metadata (1 fields against 0)"
    )


def test_a_file_that_cannot_be_read_is_neither_sharp_nor_rich(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"bad")
    good = save(scene(1), tmp_path / "good.jpg")
    assert best("sharpest,metadata", photo(str(tmp_path / "bad.jpg")), photo(str(good)))[0] == str(good)


def test_an_unknown_rule_names_the_nearest_three() -> None:
    with pytest.raises(BadQuery, match=r"'lagest' is not a keep rule; nearest: largest, "):
        parse_rule("lagest")
    with pytest.raises(BadQuery, match="needs a folder"):
        Keep("largest,in:")
    with pytest.raises(BadQuery, match="not a keep rule"):
        parse_rule("largest:5")


def test_the_default_rules_are_known() -> None:
    assert set(DEFAULT) - {"format"} <= set(RULES)
    assert best(",".join(DEFAULT), SMALL, LARGE)[0] == LARGE.path
