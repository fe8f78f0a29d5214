"""The server's requirements with hashes say what constraints.txt says."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def versions(path: Path) -> dict[str, str]:
    found = re.findall(
        r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==([^ ;\n\\]+)", path.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def test_the_lock_has_the_versions_of_the_constraints() -> None:
    locked, constrained = versions(ROOT / "deploy" / "requirements.txt"), versions(ROOT / "constraints.txt")
    assert len(locked) > 40
    assert {name: version for name, version in locked.items() if constrained.get(name) != version} == {}


def test_every_requirement_has_a_hash() -> None:
    text = (ROOT / "deploy" / "requirements.txt").read_text(encoding="utf-8")
    parts = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(parts) == len(versions(ROOT / "deploy" / "requirements.txt"))
    assert all("--hash=sha256:" in part for part in parts)


def test_what_the_package_needs_is_locked() -> None:
    import tomllib

    needed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    names = {re.sub(r"[-_.]+", "-", re.split(r"[<>=! ;\[]", need)[0]).lower() for need in needed}
    assert names <= versions(ROOT / "deploy" / "requirements.txt").keys()
