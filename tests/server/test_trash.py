"""Accepted extras go to the trash from the page and come back, where the server allows it; else nothing is touched."""

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike.duplicates import Duplicates
from lookalike.duplicates.review.saved_groups import save_duplicates
from lookalike.search import Collection
from lookalike.types import DuplicateGroup, Extra, Hit
from tests.duplicates.conftest import trash
from tests.duplicates.pictures import save, scene
from tests.server.conftest import Served, served, wait_for

__all__ = ["trash"]
FACTS = ["path", "root", "size", "mtime_ns", "sha256", "width", "height", "format", "frames"]
WHEN = "2026-01-31T12:00:00+00:00"
READ, WRITE = "r" * 20, "w" * 20


def lay(folder: Path) -> Path:
    """Two groups, of one extra and of two, as a search would have found them. Returns the collection."""
    for seed, copies in ((1, 1), (2, 2)):
        image = scene(seed, size=(160, 120))
        save(image, folder / "photos" / f"scene{seed}.png")
        for n in range(copies):
            save(image, folder / "photos" / f"copy{seed}{n}.jpg", quality=90 - 10 * n)
    with Collection.open(folder / "c", create=True) as photos:
        photos.sync(folder / "photos")
        save_duplicates(photos, Duplicates(groups=(group(photos, 1, 1), group(photos, 2, 2)), pictures=5))
    return folder / "c"


def group(photos: Collection, seed: int, copies: int) -> DuplicateGroup:
    names = [f"photos/scene{seed}.png", *(f"photos/copy{seed}{n}.jpg" for n in range(copies))]
    keep, *extras = (row for row in photos.get(names, FACTS) if row is not None)
    why: dict[str, Any] = {"score": 0.98, "relation": "copy", "probability": 0.99, "words": "scaled", "reason": "PNG"}
    return DuplicateGroup(
        Hit(keep.id, 1.0, keep.metadata), tuple(Extra(id=one.id, metadata=one.metadata, **why) for one in extras)
    )


@contextmanager
def serving(collection: Path, **options: Any) -> Iterator[Served]:
    with served(None, str(collection), **{"allow_apply": True, **options}) as running:
        yield running


def accept(running: Served, *pairs: tuple[int, int], verdict: str | None = "copy") -> None:
    decisions = [
        {"first": f"photos/scene{seed}.png", "second": f"photos/copy{seed}{n}.jpg", "verdict": verdict}
        for seed, n in pairs
    ]
    response = running.http.post("/v1/decisions/batch", json={"decisions": decisions})
    assert response.json() == {"decided": len(pairs)}


def ended(running: Served, answer: Any) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    job = answer.json()["job"]
    wait_for(lambda: running.http.get(f"/v1/jobs/{job}").json()["state"] != "running")
    payload: dict[str, Any] = running.http.get(f"/v1/jobs/{job}").json()
    return payload


def apply(running: Served, files: int) -> Any:
    when = running.http.get("/v1/duplicates").json()["when"]
    return running.http.post("/v1/duplicates/apply", json={"when": when, "files": files})


def test_accepted_extras_go_to_the_trash_and_come_back(tmp_path: Path, trash: Path) -> None:
    collection, photos = lay(tmp_path), tmp_path / "photos"
    before = {path.name: path.read_bytes() for path in photos.iterdir()}
    with serving(collection) as running:
        accept(running, (1, 0), (2, 0), (2, 1))
        accept(running, (2, 1), verdict=None)
        payload = running.http.get("/v1/duplicates/apply").json()
        assert (payload["allowed"], payload["files"], payload["journals"]) == (True, 2, [])
        job = ended(running, apply(running, 2))
        assert (job["state"], job["report"]["moved"], job["report"]["left"]) == ("done", 2, [])
        assert sorted(path.name for path in photos.iterdir()) == ["copy21.jpg", "scene1.png", "scene2.png"]
        assert sorted(path.name for path in (trash / "files").iterdir()) == ["copy10.jpg", "copy20.jpg"]
        results = running.http.get("/v1/duplicates").json()
        assert [[extra["id"] for extra in one["extras"]] for one in results["groups"]] == [["photos/copy21.jpg"]]
        payload = running.http.get("/v1/duplicates/apply").json()
        (journal,) = payload["journals"]
        assert (payload["files"], journal["moved"], journal["restored"]) == (0, 2, 0)
        assert apply(running, 2).json()["error"] == "groups_changed"
    with serving(collection) as again:  # after a restart too
        job = ended(again, again.http.post("/v1/duplicates/undo", json={"journal": journal["journal"]}))
        assert (job["state"], job["report"]["restored"], job["report"]["left"]) == ("done", 2, [])
        assert {path.name: path.read_bytes() for path in photos.iterdir()} == before
        assert again.http.get("/v1/duplicates").json()["total"] == 2
        (journal,) = again.http.get("/v1/duplicates/apply").json()["journals"]
        assert (journal["moved"], journal["restored"], journal["bytes"]) == (2, 2, 0)


def test_without_the_flag_nothing_is_moved_and_the_command_is_told(tmp_path: Path, trash: Path) -> None:
    collection = lay(tmp_path)
    with serving(collection, allow_apply=False) as running:
        accept(running, (1, 0))
        refused = apply(running, 1)
        assert (refused.status_code, refused.json()["error"]) == (403, "apply_not_allowed")
        assert "--allow-apply" in refused.json()["message"]
        undone = running.http.post("/v1/duplicates/undo", json={"journal": "20260131-120000-0123abcd"})
        assert (undone.status_code, undone.json()["error"]) == (403, "apply_not_allowed")
        assert running.http.post("/v1/jobs", json={"kind": "apply"}).status_code == 422
        payload = running.http.get("/v1/duplicates/apply").json()
        assert (payload["allowed"], payload["files"]) == (False, 1)
        words = shlex.split(payload["command"])
        assert words[:4] == ["lookalike", "duplicates", "-c", str(collection)]
        when = running.http.get("/v1/duplicates").json()["when"]
        assert words[4:10] == ["--last", "--found-at", when, "--accepted-only", "--apply", "trash"]
    assert (tmp_path / "photos/copy10.jpg").exists()


@pytest.mark.parametrize(
    ("options", "token", "reason"),
    [
        ({"allow_apply": False}, WRITE, "this server was started without --allow-apply, so it moves no files"),
        ({"read_only": True}, WRITE, "this server was started with --read-only"),
        ({"read_only": True, "allow_apply": False}, WRITE, "this server was started with --read-only"),
        ({}, READ, "your token is read-only"),
        ({}, WRITE, ""),
    ],
)
def test_the_reason_why_nothing_is_moved_is_the_one_that_applies(
    tmp_path: Path, options: dict[str, Any], token: str, reason: str
) -> None:
    (tmp_path / "tokens").write_text(f"read {READ}\nwrite {WRITE}\n")
    (tmp_path / "tokens").chmod(0o600)
    Collection.open(tmp_path / "c", create=True).close()
    with serving(tmp_path / "c", tokens=str(tmp_path / "tokens"), **options) as running:
        headers = {"authorization": f"Bearer {token}"}
        payload = running.http.get("/v1/duplicates/apply", headers=headers).json()
    assert (payload["allowed"], payload["reason"]) == (not reason, reason)


def test_what_a_person_did_not_look_at_is_not_moved(tmp_path: Path, trash: Path) -> None:
    with serving(lay(tmp_path)) as running:
        accept(running, (1, 0))
        for body in (
            {"when": WHEN, "files": 1},
            {"when": running.http.get("/v1/duplicates").json()["when"], "files": 3},
        ):
            refused = running.http.post("/v1/duplicates/apply", json=body)
            assert (refused.status_code, refused.json()["error"]) == (409, "groups_changed")
        assert running.http.post("/v1/duplicates/apply", json={}).status_code == 422
        for name in ("20260131-120000-0123abcd", "../../etc/passwd", "x"):
            assert running.http.post("/v1/duplicates/undo", json={"journal": name}).status_code == 404
        # Another picture of the group is to be kept: it waits for the next search.
        assert running.http.post("/v1/choices", json={"id": "photos/copy10.jpg", "keep": True}).status_code == 200
        assert running.http.get("/v1/duplicates/apply").json()["files"] == 0
        assert apply(running, 1).status_code == 409
    assert (tmp_path / "photos/copy10.jpg").exists()


def test_a_file_that_changed_stays_and_no_path_is_told(tmp_path: Path, trash: Path) -> None:
    with serving(lay(tmp_path)) as running:
        accept(running, (1, 0), (2, 0), (2, 1))
        time.sleep(0.01)
        save(np.flipud(scene(3)), tmp_path / "photos/copy20.jpg")
        (tmp_path / "photos/scene1.png").unlink()
        job = ended(running, apply(running, 3))
        assert job["report"]["moved"] == 1
        remaining = {one["id"]: one["reason"] for one in job["report"]["left"]}
        assert set(remaining) == {"photos/copy10.jpg", "photos/copy20.jpg"}
        assert "has changed since it was indexed" in remaining["photos/copy20.jpg"]
        assert "photos/scene1.png" in remaining["photos/copy10.jpg"]
        assert str(tmp_path) not in str(job)
    assert (tmp_path / "photos/copy10.jpg").exists()
    assert not (tmp_path / "photos/copy21.jpg").exists()


def test_other_sites_and_readers_move_nothing(tmp_path: Path, trash: Path) -> None:
    (tmp_path / "tokens").write_text(f"read {READ}\nwrite {WRITE}\n")
    (tmp_path / "tokens").chmod(0o600)
    with serving(lay(tmp_path), tokens=str(tmp_path / "tokens")) as running:
        writer, reader = ({"authorization": f"Bearer {token}"} for token in (WRITE, READ))
        pair = {"first": "photos/scene1.png", "second": "photos/copy10.jpg", "verdict": "copy"}
        assert running.http.post("/v1/decisions", json=pair, headers=writer).status_code == 200
        body = {"when": running.http.get("/v1/duplicates", headers=reader).json()["when"], "files": 1}
        for headers, status, kind in (
            ({}, 401, "token_needed"),
            (reader, 403, "may_not_write"),
            (writer | {"origin": "https://elsewhere.example"}, 403, "other_site"),
            (writer | {"sec-fetch-site": "cross-site"}, 403, "other_site"),
        ):
            for path, sent in (("apply", body), ("undo", {"journal": "20260131-120000-0123abcd"})):
                refused = running.http.post(f"/v1/duplicates/{path}", json=sent, headers=headers)
                assert (refused.status_code, refused.json()["error"]) == (status, kind)
        payload = running.http.get("/v1/duplicates/apply", headers=reader).json()
        assert (payload["allowed"], payload["journals"]) == (False, [])
        assert str(tmp_path) not in str(payload)
        assert "-c COLLECTION" in payload["command"]
        assert (tmp_path / "photos/copy10.jpg").exists()
    with serving(tmp_path / "c", read_only=True) as running:
        refused = running.http.post("/v1/duplicates/apply", json=body)
        assert (refused.status_code, refused.json()["error"]) == (403, "read_only")


def test_without_a_place_for_the_journal_nothing_is_moved(tmp_path: Path, trash: Path) -> None:
    (trash.parent / "lookalike").write_text("in the way")
    with serving(lay(tmp_path)) as running:
        accept(running, (1, 0))
        job = ended(running, apply(running, 1))
        assert job["state"] == "failed"
        assert "without it no file is moved" in job["message"]
        assert str(tmp_path) not in job["message"]
    assert (tmp_path / "photos/copy10.jpg").exists()


def test_many_decisions_are_all_made_or_none(tmp_path: Path) -> None:
    with serving(lay(tmp_path)) as running:
        good = {"first": "photos/scene1.png", "second": "photos/copy10.jpg", "verdict": "copy"}
        bad = good | {"second": "nobody"}
        refused = running.http.post("/v1/decisions/batch", json={"decisions": [good, bad]})
        assert (refused.status_code, refused.json()["error"]) == (404, "unknown_id")
        assert '"verdict":"copy"' not in running.http.get("/v1/duplicates").text
        assert running.http.post("/v1/decisions/batch", json={"decisions": []}).status_code == 422
