"""Groups in a real browser: called by what is known of them."""

from pathlib import Path

from lookalike.search import Collection
from tests.server.conftest import fill, served, wait_for
from tests.server.test_browser import browser, pytestmark

__all__ = ["browser", "pytestmark"]


def test_a_group_tells_the_labels_of_its_pictures_and_the_name_it_was_given(browser, tmp_path: Path) -> None:
    with Collection.open(tmp_path / "c", create=True) as photos:
        photos.sync(fill(tmp_path / "photos"))
    with served(None, str(tmp_path / "c"), decoders=2) as running:
        job = running.http.post("/v1/jobs", json={"kind": "clusters"}).json()["job"]
        wait_for(lambda: "running" not in running.http.get(f"/v1/jobs/{job}").text, 60)
        payload = running.http.get("/v1/clusters").json()
        key = payload["clusters"][0]["key"]
        ids = [one["id"] for one in running.http.get(f"/v1/clusters/{key}?k=4").json()["images"]]
        for label, some in (("sea", ids[:3]), ("sky", ids[3:])):
            assert running.http.post("/v1/labels", json={"label": label, "ids": some}).status_code == 200
        payload = running.http.get("/v1/clusters").json()["clusters"][0]
        assert payload["labels"] == [{"label": "sea", "images": 3}, {"label": "sky", "images": 1}]
        assert payload["labeled"] == 4
        sheet = browser.new_context().new_page()
        sheet.goto(f"{running.url}/clusters")
        sheet.wait_for_selector(".card >> text=sea 3, sky 1", timeout=30_000)
        sheet.goto(f"{running.url}/clusters?group={key}")
        sheet.wait_for_selector("main >> text=Of 4 with a label 3 are sea.", timeout=30_000)
        sheet.fill("main input[type=text]", "the coast")
        sheet.keyboard.press("Enter")
        wait_for(lambda: running.http.get("/v1/clusters").json()["clusters"][0]["name"] == "the coast")
        sheet.reload()
        sheet.wait_for_selector("h1 >> text=the coast", timeout=30_000)
        sheet.context.close()
