"""Jobs of several workers: only one runs at a time."""

from pathlib import Path
from typing import Any

import pytest

from lookalike.server import Settings
from lookalike.server.service.jobs import JobRunner, JobRunning


def test_two_workers_start_a_job_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second worker starts while the first has checked that nothing runs and has not yet started its own."""
    settings = Settings(uri=str(tmp_path / "c"))
    first, second = JobRunner(settings, str(tmp_path)), JobRunner(settings, str(tmp_path))
    check = first.all

    def slow_check() -> list[dict[str, Any]]:
        jobs = check()
        monkeypatch.setattr(first, "all", check)
        with pytest.raises(JobRunning):
            second._claim("index")
        return jobs

    monkeypatch.setattr(first, "all", slow_check)
    job = first._claim("index")
    assert [known["job"] for known in second.all()] == [job["job"]]
    with pytest.raises(JobRunning, match=job["job"]):
        second._claim("index")
