"""A self-contained report of one comparison: HTML for people, JSON for machines, hashes of the compared files."""

import base64
import html
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lookalike.errors import LookalikeError
from lookalike.relate.compare import ImageComparison
from lookalike.relate.facts import change_facts, verdict_facts
from lookalike.relate.probability.calibration_model import Calibration
from lookalike.relate.words.explain import Addition
from lookalike.relate.words.sentences import addition_phrase, phrases, position_phrase
from lookalike.types import Card

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1c1e21}"
    "table{border-collapse:collapse;width:100%;margin:1rem 0}td,th{border:1px solid #d5d8dc;padding:.35rem .6rem;"
    "text-align:left;vertical-align:top}td{overflow-wrap:anywhere}"
    # Row titles are field names: on a narrow screen they break after an underscore, elsewhere not at all.
    "th{background:#f1f2f4;font-weight:600;width:1%;white-space:nowrap}tr:first-child th{width:auto}wbr{display:none}"
    "img{max-width:100%}.big{font-size:1.3rem;font-weight:600;overflow-wrap:anywhere}.faint{color:#6b7076}"
    "@media(max-width:40rem){body{margin:1rem auto;padding:0 .5rem;font-size:13px}td,th{padding:.25rem .35rem}"
    "th{white-space:normal}wbr{display:inline}}"
)


def report_facts(
    comparison: ImageComparison, card: Card, calibration: Calibration, *, heat_source: str = ""
) -> dict[str, Any]:
    """Return all facts of a comparison as plain values. `changes` are words, `change_facts` what they are made from."""
    from lookalike._version import __version__

    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "first": comparison.first.facts,
        "second": comparison.second.facts,
        "words": comparison.explanation.words,
        "changes": phrases(comparison.explanation.changes),
        "change_facts": change_facts(comparison.explanation.changes),
        "added": [_addition_facts(addition) for addition in comparison.explanation.added],
        "verdict": verdict_facts(comparison.verdict),
        "heat_map": heat_source,
        "model": {"name": card.name, "sha256": card.sha256},
        "calibration": {"source": calibration.source, **calibration.facts},
        "lookalike": __version__,
    }


def _addition_facts(addition: Addition) -> dict[str, Any]:
    """Return an addition, in words and with its box."""
    where = position_phrase(addition.position)
    return {"kind": addition_phrase(addition.kind), "where": where, "box": addition.box}


def write_report(folder: Path, facts: dict[str, Any], proof_png: bytes) -> Path:
    """Write report.html, report.json and proof.png; return the path of the HTML. Raises LookalikeError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "proof.png").write_bytes(proof_png)
        (folder / "report.json").write_text(json.dumps(facts, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        page = folder / "report.html"
        page.write_text(_page(facts, proof_png), encoding="utf-8", errors="replace")
    except OSError as error:
        raise LookalikeError(
            f"the report cannot be written to {folder} ({error.strerror}); choose a folder that is writable"
        ) from error
    return page


def _page(facts: dict[str, Any], proof_png: bytes) -> str:
    verdict = facts["verdict"]
    files = [
        "<tr><th></th><th>first</th><th>second</th></tr>",
        *(
            f"<tr><th>{_title(name)}</th><td>{_cell(facts['first'].get(name))}</td>"
            f"<td>{_cell(facts['second'].get(name))}</td></tr>"
            for name in facts["first"]
        ),
    ]
    rows = "".join(f"<tr><th>{_title(name)}</th><td>{_cell(value)}</td></tr>" for name, value in verdict.items())
    image = base64.b64encode(proof_png).decode()
    settings = {k: facts[k] for k in ("model", "calibration", "heat_map", "lookalike", "made")}
    about = "".join(f"<tr><th>{_title(name)}</th><td>{_cell(v)}</td></tr>" for name, v in settings.items())
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{html.escape(verdict["relation"])}</title>'
        f'<style>{_STYLE}</style><p class="big">{html.escape(facts["words"])}</p>'
        f'<img alt="proof" src="data:image/png;base64,{image}">'
        f"<h2>Files</h2><table>{''.join(files)}</table><h2>Verdict</h2><table>{rows}</table>"
        f"<h2>Made with</h2><table>{about}</table>"
        '<p class="faint">Probabilities come from a calibration fitted to edits of images and to different images; '
        "they do not say who copied from whom.</p></html>\n"
    )


def _title(name: str) -> str:
    return html.escape(name).replace("_", "_<wbr>")


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return "<br>".join(f"{html.escape(str(k))}: {_cell(v)}" for k, v in value.items())
    return html.escape("" if value is None else str(value))
