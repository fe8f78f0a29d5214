"""The form of every error: problem details (RFC 9457), with a code that stays and a sentence."""

from typing import Any

PROBLEM_TYPE = "application/problem+json"


def problem_content(kind: str, message: str, status: int) -> dict[str, Any]:
    """Return the members of an error. `kind`: its code; `message`: the sentence."""
    standard = {"type": f"urn:lookalike:{kind}", "title": kind.replace("_", " "), "status": status, "detail": message}
    return standard | {"error": kind, "message": message}
