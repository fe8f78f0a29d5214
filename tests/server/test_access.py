"""Tokens, names, other sites, rate."""

import hashlib
import hmac
from pathlib import Path

import pytest

from lookalike.search import Collection
from lookalike.server import Settings
from lookalike.server.http.access import AccessControl, RateLimiter
from lookalike.server.process.settings import ServerError, Tokens, check, load_tokens
from tests.conftest import COLOURS, ColourEmbedder, picture
from tests.server.conftest import Served, served

READ, WRITE = "r" * 20, "w" * 20


@pytest.fixture
def tokens(tmp_path: Path) -> str:
    path = tmp_path / "tokens"
    path.touch(mode=0o600)
    path.write_text(f"# secrets\nread {READ}\nwrite {WRITE}\n")
    return str(path)


def test_an_outer_address_needs_a_token_file(tokens: str) -> None:
    with pytest.raises(ServerError, match="--token-file"):
        check(Settings(uri="x", host="0.0.0.0"))
    check(Settings(uri="x", host="0.0.0.0", tokens=tokens))
    for host in ("127.0.0.1", "localhost", "::1"):
        check(Settings(uri="x", host=host))


@pytest.mark.parametrize("text", ["", "read short", "admin " + READ, "read", f"read {READ} more"])
def test_a_token_file_that_protects_nothing_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "t").touch(mode=0o600)
    (tmp_path / "t").write_text(text)
    with pytest.raises(ServerError, match="must hold lines"):
        load_tokens(str(tmp_path / "t"))
    with pytest.raises(ServerError, match="cannot be read"):
        load_tokens(str(tmp_path / "absent"))


def test_reading_and_writing_are_two_things(tmp_path: Path, tokens: str) -> None:
    with (
        Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos,
        served(photos, str(tmp_path / "c"), tokens=tokens) as running,
    ):
        http = running.http
        assert http.get("/v1/images").status_code == 401
        assert http.get("/v1/images", headers={"authorization": f"Bearer {READ}x"}).status_code == 401
        read, write = ({"authorization": f"Bearer {token}"} for token in (READ, WRITE))
        assert http.get("/v1/images", headers=read).status_code == 200
        rights = [http.get("/v1/collection", headers=headers).json()["may_write"] for headers in (read, write)]
        assert rights == [False, True]
        assert http.delete("/v1/images/x", headers=read).json()["error"] == "may_not_write"
        assert http.delete("/v1/images/x", headers=write).status_code == 404
        assert http.get("/").status_code == 200  # the page itself, which asks for the token
        assert http.post("/v1/login", json={"token": "no"}).status_code == 401
        assert http.post("/v1/login", json={"token": READ}).status_code == 200
        assert "httponly" in str(http.cookies.jar).lower() or http.cookies.get("lookalike")
        assert WRITE not in str(http.cookies)
        assert READ not in str(http.cookies)
        assert http.get("/v1/images").status_code == 200
        assert http.delete("/v1/images/x").status_code == 403
        http.cookies.clear()
        assert http.get("/metrics").status_code == 401
        photos.add([picture(COLOURS["red"])], ids=["x"])


def role_of_cookie(access: AccessControl, cookie: str) -> str:
    headers = {"host": "127.0.0.1", "cookie": f"lookalike={cookie}"}
    if access.refuse("DELETE", "/v1/images/x", headers, "1.2.3.4") is None:
        return "write"
    return "read" if access.refuse("GET", "/v1/images", headers, "1.2.3.4") is None else "none"


def test_a_session_counts_only_with_its_own_signature() -> None:
    access = AccessControl(Settings(uri="x"), Tokens(read=READ, write=WRITE))
    read, write = access.session(READ) or "", access.session(WRITE) or ""
    assert [role_of_cookie(access, cookie) for cookie in (read, write)] == ["read", "write"]
    other = AccessControl(Settings(uri="x"), Tokens(read=READ, write="v" * 20)).session("v" * 20) or ""
    changed = write[:-1] + ("0" if write[-1] != "0" else "1")
    raised = f"write.{read.partition('.')[2]}"  # the signature of the read session
    lowered = f"read.{write.partition('.')[2]}"
    for forged in (other, changed, raised, lowered, "write.", "write", "admin.", write[:-1], f"write.{WRITE}", ""):
        assert role_of_cookie(access, forged) == "none", forged


def test_a_session_of_a_role_without_a_secret_counts_for_nothing() -> None:
    access = AccessControl(Settings(uri="x"), Tokens(write=WRITE))
    digest = hmac.new(b"", b"lookalike session read", hashlib.sha256).hexdigest()
    assert role_of_cookie(access, f"read.{digest}") == "none"
    assert access.session("") is None


def test_other_sites_and_other_names_are_turned_away(server: Served) -> None:
    http = server.http
    assert http.get("/v1/images", headers={"host": "evil.example"}).status_code == 421
    assert http.get("/", headers={"host": "127.0.0.1.evil.example"}).status_code == 421
    assert http.post("/v1/jobs", json={}, headers={"origin": "http://evil.example"}).status_code == 403
    assert http.get("/v1/images", headers={"origin": "http://evil.example"}).status_code == 403
    assert http.delete("/v1/images/x", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert http.delete("/v1/images/x", headers={"origin": server.url}).status_code == 404
    assert "access-control-allow-origin" not in http.get("/v1/images").headers


def test_every_answer_carries_the_security_headers(server: Served) -> None:
    for path in ("/", "/static/app.js", "/v1/images", "/v1/nothing", "/v1/images?k=x"):
        headers = server.http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY"
        assert "server" not in headers


def test_a_client_that_asks_too_often_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("lookalike.server.http.access.time.monotonic", lambda: clock[0])
    rate = RateLimiter(5)
    assert [rate.wait("a") for _ in range(10)] == [0.0] * 10
    assert rate.wait("a") == pytest.approx(0.2)
    assert rate.wait("b") == 0.0
    clock[0] += 0.2
    assert rate.wait("a") == 0.0
    assert RateLimiter(0).wait("a") == 0.0


def test_a_refusal_states_how_long_to_wait() -> None:
    access = AccessControl(Settings(uri="x", rate=0.5), Tokens())
    request = ("GET", "/v1/images", {"host": "127.0.0.1"}, "1.2.3.4")
    assert access.refuse(*request) is None
    refusal = access.refuse(*request)
    assert refusal is not None
    assert refusal.status == 429
    assert dict(refusal.headers)["retry-after"]


def test_the_page_itself_is_never_too_much() -> None:
    access = AccessControl(Settings(uri="x", rate=5, workers=2), Tokens())

    def status(path: str, method: str = "GET") -> int:
        refusal = access.refuse(method, path, {"host": "127.0.0.1"}, "1.2.3.4")
        return refusal.status if refusal else 200

    for _ in range(40):
        assert [status(path) for path in ("/", "/map", "/static/app.js", "/healthz", "/readyz")] == [200] * 5
    assert [status("/v1/images/a.jpg/thumbnail") for _ in range(100)] == [200] * 100  # half of what there is
    assert [status("/v1/search") for _ in range(6)] == [200] * 5 + [429]  # both workers give it all of the rate
    assert status("/v1/login", "POST") == 429


def test_a_server_with_a_rate_shows_its_page(tmp_path: Path) -> None:
    with (
        Collection.open(tmp_path / "c", model=ColourEmbedder(), create=True) as photos,
        served(photos, str(tmp_path / "c"), rate=0.5) as running,
    ):
        photos.add([picture(COLOURS["red"])], ids=["x"])
        answers = [running.http.get("/v1/collection") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 429, 429]
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert running.http.get("/static/app.js").status_code == 200
        assert running.http.get("/").status_code == 200


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_token_file_that_others_can_read_is_refused(tmp_path: Path, tokens: str, mode: int) -> None:
    Path(tokens).chmod(mode)
    with pytest.raises(ServerError, match=r"chmod 600"):
        check(Settings(uri="x", host="0.0.0.0", tokens=tokens))
    Path(tokens).chmod(0o600)
    check(Settings(uri="x", host="0.0.0.0", tokens=tokens))
