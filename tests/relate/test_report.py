"""How the titles of the report look in a real browser."""

import shutil
from pathlib import Path

import pytest

from lookalike.relate.compare import compare
from lookalike.relate.probability.calibration_model import Calibration, default_geometry
from lookalike.relate.words.report import report_facts, write_report
from tests.conftest import ColourEmbedder
from tests.relate.conftest import png, scene

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# For each run of letters between underscores, in each row title: the number of lines it takes.
LINES = """() => [...document.querySelectorAll("th")].flatMap(th => {
  const found = [];
  const texts = document.createTreeWalker(th, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) for (const word of texts.currentNode.data.matchAll(/[^_]+_?/g)) {
    const range = document.createRange();
    range.setStart(texts.currentNode, word.index);
    range.setEnd(texts.currentNode, word.index + word[0].length);
    found.push([word[0], range.getClientRects().length]);
  }
  return found;
})"""


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here; apt-get install chromium")
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_no_title_of_a_row_breaks_inside_a_word(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    file = tmp_path / f"{'long' * 30}.png"
    file.write_bytes(png(scene(1)))
    calibration = Calibration(geometry=default_geometry())
    compared = compare(file, png(scene(1)[:, :300]), ColourEmbedder(), calibration)
    page = write_report(tmp_path / "r", report_facts(compared, ColourEmbedder().card, calibration), png(scene(1)))
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for width in (1000, 480):
            sheet = browser.new_page(viewport={"width": width, "height": 900})
            sheet.goto(page.as_uri())
            words = sheet.evaluate(LINES)
            assert ["sha256", 1] in words
            assert [word for word, lines in words if lines != 1] == []
            assert sheet.evaluate("document.documentElement.scrollWidth") <= width
        browser.close()
