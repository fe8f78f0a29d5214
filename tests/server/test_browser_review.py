"""The cards of the page of duplicates in a real browser: a thousand groups, filters, keys, one choice on every card."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lookalike.search import Collection
from tests.duplicates.conftest import trash
from tests.server.conftest import Served, fill, served, wait_for
from tests.server.test_browser import browser, holds, page, pytestmark
from tests.server.test_trash import lay

__all__ = ["browser", "page", "pytestmark", "trash"]
KINDS = (
    ("identical", 1.0, "identical"),
    ("copy", 0.95, "cropped"),
    ("copy", 0.8, "added"),
    ("same-template", 0.5, "other"),
)
UGLY = "<img src=x onerror=alert(1)> \u202egpj.exe"
WHEN = "2026-01-31T12:00:00+00:00"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("reviewed")
    with Collection.open(folder / "c", create=True) as photos:
        photos.sync(fill(folder / "photos"))
    with served(None, str(folder / "c"), decoders=2) as running:
        yield running


def made(count: int) -> list[dict[str, Any]]:
    """Groups as the API tells them, of pictures that are there; the last and the first show the same pair."""

    def image(name: str, content: int) -> dict[str, Any]:
        facts = {"path": f"/home/me/{name}", "width": 400, "height": 300, "format": "JPEG", "size": 1_000_000}
        return {"id": "photos/red0.png", "metadata": facts | {"sha256": f"{content:064x}"}}

    groups = []
    for n in range(count):
        relation, probability, kind = KINDS[n % len(KINDS)]
        why = {"score": 0.9, "relation": relation, "probability": probability, "words": kind, "reason": "largest"}
        state = {"transform": None, "verdict": None, "chosen": False, "kinds": [kind], "unsure": False, "left": ""}
        extras = [image(f"copy{n}.jpg", 2 * n + 1) | why | state]
        groups.append({"keep": image(f"keep{n}.jpg", 2 * n), "chosen": False, "extras": extras})
    groups[-1]["keep"]["metadata"] = groups[0]["keep"]["metadata"]
    groups[-1]["extras"][0]["metadata"] = groups[0]["extras"][0]["metadata"]
    groups[1]["extras"][0]["metadata"]["path"] = f"/home/me/{UGLY}"
    groups[2]["extras"][0]["left"] = "is inside an archive"
    return groups


@pytest.fixture
def many(page, site: Served):  # type: ignore[no-untyped-def]
    """The page with a thousand made groups; what it sends is in `sent`."""
    groups, sent = made(1000), []

    def tell(route) -> None:  # type: ignore[no-untyped-def]
        query = dict(part.split("=") for part in route.request.url.split("?")[1].split("&"))
        first, count = int(query["offset"]), int(query["k"])
        shown = groups[first : first + count]
        route.fulfill(json={"when": WHEN, "images": 5000, "total": len(groups), "groups": shown})

    def take(route) -> None:  # type: ignore[no-untyped-def]
        sent.append(json.loads(route.request.post_data))
        route.fulfill(json={})

    page.route("**/v1/duplicates?*", tell)
    page.route("**/v1/decisions*", take)
    page.route("**/v1/decisions/batch", take)
    page.route("**/v1/choices", take)
    page.sent = sent
    page.goto(site.url + "/duplicates")
    holds(page, "/1,000 groups, 1,000 extras shown/.test(document.querySelector('.totals')?.textContent)")
    return page


def focused(page) -> str:
    """The number of the group that has the focus, and whether it is on an extra."""
    payload: str = page.evaluate(
        """() => { const at = document.activeElement; const card = at.closest('.group');
          return card ? `${card.dataset.n} ${at.className.split(' ')[0]}` : at.tagName; }"""
    )
    return payload


def test_a_thousand_groups_keep_few_cards_and_every_one_is_reached(many) -> None:
    assert 0 < many.locator(".group").count() < 60
    assert "1,000.0 MB" not in many.inner_text(".totals")
    assert "999.0 MB in total" in many.inner_text(".totals")  # one is left alone
    for _ in range(3):
        many.keyboard.press("j")
    assert focused(many) == "2 extra"
    many.keyboard.press("k")
    assert focused(many) == "1 extra"
    many.evaluate("scrollTo(0, document.body.scrollHeight)")
    many.wait_for_selector(".group[data-n='999']")
    assert many.locator(".group").count() < 80
    assert many.locator(".group[data-n='999']").get_attribute("aria-setsize") == "1000"
    # The card with the focus stays, so that the next key goes on from there.
    many.keyboard.press("j")
    assert focused(many) == "2 extra"


def test_filters_count_and_are_in_the_address(many, site: Served) -> None:
    many.get_by_role("checkbox", name="Cropped").check()
    holds(many, "/^250 groups, 250 extras shown/.test(document.querySelector('.totals').textContent)")
    assert "kind=cropped" in many.url
    counts = many.inner_text(".review-filters")
    assert "Cropped 250" in counts.replace("\n", " ")
    assert "Certain (≥ 99%) 0" in counts.replace("\n", " ")
    many.get_by_role("checkbox", name="Something added").check()
    many.get_by_role("checkbox", name="Below 90%").check()
    many.get_by_label("Filter by path").fill("COPY99")
    holds(many, "/^3 groups/.test(document.querySelector('.totals').textContent)")  # 990, 994, 998
    assert "certainty=below" in many.url
    assert "path=COPY99" in many.url
    many.reload()
    holds(many, "/^3 groups, 3 extras shown/.test(document.querySelector('.totals')?.textContent)")
    assert many.get_by_role("checkbox", name="Something added").is_checked()
    many.get_by_label("Filter by path").fill("nothing of that name")
    many.get_by_text("No group matches the filters.").wait_for()


def test_one_choice_is_on_every_card_and_is_taken_back(many) -> None:
    many.keyboard.press("j")
    many.keyboard.press("a")
    first = many.locator(".group[data-n='0']")
    assert first.get_by_role("button", name="Accept", exact=True).get_attribute("aria-pressed") == "true"
    assert "2.0 MB accepted (2 files)" in many.inner_text(".totals")  # the last group is the same pair
    many.get_by_label("Order").select_option("bytes")
    many.get_by_label("Filter by path").fill("copy0.jpg")
    holds(many, "document.querySelectorAll('.group').length === 2")
    assert many.locator(".group.accepted").count() == 2
    many.get_by_role("button", name="Not a copy").last.click()
    assert many.locator(".extra.decided").count() == 2
    many.get_by_role("button", name="Undo", exact=True).click()
    assert many.locator(".group.accepted").count() == 2
    many.get_by_role("button", name="Keep this one instead").first.click()
    assert many.locator(".extra.chosen").count() == 2
    assert "0 MB accepted" in many.inner_text(".totals")
    wait_for(lambda: len(many.sent) == 4)
    assert [one.get("verdict", one.get("keep")) for one in many.sent] == ["copy", "not-a-copy", "copy", True]


def test_all_that_is_shown_is_accepted_and_nothing_else(many) -> None:
    many.get_by_role("checkbox", name="Identical").check()
    many.get_by_role("button", name="Accept all shown (250)").click()
    # The last group shows the first one's pair.
    holds(many, "/251 files/.test(document.querySelector('.totals').textContent)")
    wait_for(lambda: sum(len(one["decisions"]) for one in many.sent) == 250)
    many.get_by_role("checkbox", name="Identical").uncheck()
    many.keyboard.press("z")
    holds(many, "/0 MB accepted/.test(document.querySelector('.totals').textContent)")
    wait_for(lambda: sum(len(one["decisions"]) for one in many.sent) == 500)
    assert {one["verdict"] for batch in many.sent[1:] for one in batch["decisions"]} == {None}


def test_keys_are_shown_and_a_pair_is_looked_at_closely(many) -> None:
    many.keyboard.press("?")
    many.wait_for_selector("#keys[open]")
    assert "accept the group" in many.inner_text("#keys")
    many.keyboard.press("Escape")
    many.keyboard.press("j")
    many.keyboard.press("j")
    many.keyboard.press("Enter")
    dialog = many.locator("dialog.closer")
    assert "copy1.jpg" not in dialog.inner_text()
    assert UGLY.replace("\u202e", "\\u{202e}") in dialog.inner_text()  # as it is called, and nothing runs
    many.keyboard.press("n")
    assert dialog.get_by_role("button", name="Not a copy").get_attribute("aria-pressed") == "true"
    many.keyboard.press("ArrowRight")
    assert "copy2.jpg" in dialog.inner_text()
    assert dialog.get_by_role("button", name="Accept").count() == 0  # its file is left alone
    many.keyboard.press(" ")
    assert dialog.get_by_role("button", name="Flip").first.get_attribute("aria-pressed") == "true"
    many.keyboard.press("Escape")
    wait_for(lambda: focused(many) == "2 extra")
    assert "same-template · 50.0%" in many.locator(".group[data-n='3'] .badge").last.inner_text()


def test_a_group_of_hundreds_is_drawn_in_parts_and_accepted_whole(page, site: Served) -> None:
    group = made(3)[0]
    (one,) = group["extras"]
    group["extras"] = [one | {"metadata": one["metadata"] | {"sha256": f"{n:064x}"}} for n in range(9, 309)]
    payload = {"when": WHEN, "images": 301, "total": 1, "groups": [group]}
    page.route("**/v1/duplicates?*", lambda route: route.fulfill(json=payload))
    page.route("**/v1/decisions/batch", lambda route: route.fulfill(json={}))
    page.goto(site.url + "/duplicates")
    page.wait_for_selector(".extra")
    assert page.locator(".extra").count() == 60
    page.get_by_role("button", name="Show 60 more of 240 extras").click()
    assert page.locator(".extra").count() == 120
    assert focused(page) == "0 extra"
    page.get_by_role("button", name="Accept group (300)").click()
    holds(page, "/300 files/.test(document.querySelector('.totals').textContent)")


def test_accepted_extras_are_moved_and_put_back_from_the_page(browser, tmp_path: Path, trash: Path) -> None:
    photos = tmp_path / "photos"
    with served(None, str(lay(tmp_path)), decoders=2, allow_apply=True) as running:
        sheet = browser.new_context(viewport={"width": 1200, "height": 800}).new_page()
        sheet.set_default_timeout(30_000)
        sheet.goto(running.url + "/duplicates")
        sheet.get_by_role("button", name="No accepted files to move").wait_for()
        sheet.get_by_role("button", name="Accept group (2)").click()
        sheet.get_by_role("button", name="Move 2 files to the trash").click()
        sheet.locator("dialog.confirm").get_by_role("button", name="Cancel").click()
        assert (photos / "copy20.jpg").exists()
        sheet.get_by_role("button", name="Move 2 files to the trash").click()
        sheet.locator("dialog.confirm").get_by_role("button", name="Move to the trash").click()
        sheet.get_by_role("button", name="Undo: restore them").wait_for()
        assert sorted(path.name for path in photos.iterdir()) == ["copy10.jpg", "scene1.png", "scene2.png"]
        holds(sheet, "/^1 group, 1 extra shown/.test(document.querySelector('.totals').textContent)")
        sheet.get_by_role("button", name="Undo: restore them").click()
        wait_for(lambda: len(list(photos.iterdir())) == 5)
        holds(sheet, "/^2 groups, 3 extras shown/.test(document.querySelector('.totals')?.textContent)")
        sheet.context.close()


def test_without_the_flag_the_page_tells_what_to_type(browser, tmp_path: Path) -> None:
    with served(None, str(lay(tmp_path)), decoders=2) as running:
        context = browser.new_context(viewport={"width": 320, "height": 700})
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        sheet = context.new_page()
        sheet.goto(running.url + "/duplicates")
        sheet.get_by_role("button", name="Accept group (2)").click()
        sheet.get_by_role("button", name="Copy", exact=True).click()
        command = sheet.evaluate("navigator.clipboard.readText()")
        assert command == sheet.inner_text(".command code")
        assert f"-c {tmp_path / 'c'} --last --found-at" in command
        assert "--accepted-only --apply trash" in command
        assert sheet.get_by_role("button", name="to the trash").count() == 0
        assert sheet.evaluate("document.documentElement.scrollWidth <= innerWidth")
        context.close()
