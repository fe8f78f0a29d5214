"""Lines of progress on stderr."""

import pytest

from lookalike.cli import output


def test_each_stage_has_a_rate_of_its_own(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    monkeypatch.setattr(output.time, "monotonic", lambda: now[0])
    line = output.ProgressLine("images")
    calls = ((31, 3100, 6000), (60, 6000, 6000), (62, 1, 500), (93, 310, 500), (94, 1, 500), (125, 311, 500))
    for now[0], done, total in calls:
        line(done, total)
    assert capsys.readouterr().err.splitlines() == [
        "3,100 of 6,000 images, 100 a second, 0.5 minutes left",
        "310 of 500 images, 10 a second, 0.3 minutes left",
        "311 of 500 images, 10 a second, 0.3 minutes left",
    ]
