"""Verdicts and changes as plain values: one form for reports, `--json` and the API."""

import json

import numpy as np

from lookalike.relate.compare import compare
from lookalike.relate.facts import change_facts, changes_from_record, verdict_facts
from lookalike.relate.probability.calibration_model import Calibration, default_geometry
from lookalike.relate.words.report import report_facts
from lookalike.types import Change, ChangeKind
from tests.conftest import ColourEmbedder
from tests.relate.conftest import png, scene

CHANGES = (Change(ChangeKind.CROP, {"share": 0.123456789}), Change(ChangeKind.BARS, {"sides": "top", "share": 0.5}))


def test_changes_are_plain_values_of_five_digits() -> None:
    assert json.loads(json.dumps(change_facts(CHANGES))) == [
        {"kind": "crop", "values": {"share": 0.12346}},
        {"kind": "bars", "values": {"sides": "top", "share": 0.5}},
    ]


def test_saved_changes_are_the_same_again() -> None:
    records = [{"kind": str(change.kind), "values": dict(change.values)} for change in CHANGES]
    assert changes_from_record(json.loads(json.dumps(records))) == CHANGES
    assert changes_from_record([]) == ()


def test_changes_that_nobody_saved_or_that_are_unknown_are_none() -> None:
    assert changes_from_record(None) is None
    assert changes_from_record([{"kind": "of a newer version", "values": {}}]) is None


def test_a_report_has_the_verdict_and_the_changes_beside_their_words() -> None:
    calibration = Calibration(geometry=default_geometry())
    mirrored = png(np.ascontiguousarray(scene(1)[:, ::-1]))
    comparison = compare(png(scene(1)), mirrored, ColourEmbedder(), calibration)
    facts = report_facts(comparison, ColourEmbedder().card, calibration)
    assert facts["verdict"] == verdict_facts(comparison.verdict)
    assert (facts["changes"], facts["change_facts"]) == (["mirrored"], [{"kind": "mirror", "values": {}}])


def test_what_a_report_says_of_an_addition_is_words() -> None:
    calibration = Calibration(geometry=default_geometry())
    image = scene(1).copy()
    image[250:330, 360:460] = 0
    comparison = compare(png(scene(1)), png(image), ColourEmbedder(), calibration)
    (added,) = report_facts(comparison, ColourEmbedder().card, calibration)["added"]
    assert (added["kind"], added["where"]) == ("something added", "at the bottom right")
    assert len(added["box"]) == 4
