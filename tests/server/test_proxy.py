"""Behind another server: origins, a path of its own, forwarded addresses, secure cookies; with a real nginx too."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lookalike.search import Collection
from lookalike.server.http.access import AccessControl
from lookalike.server.process.settings import Settings, Tokens
from tests.conftest import COLOURS, encode, picture
from tests.server.conftest import free_port, served

SNIPPETS = Path(__file__).parents[2] / "deploy"


def gate(**options: object) -> AccessControl:
    return AccessControl(Settings(uri="x", **options), Tokens())  # type: ignore[arg-type]


def refused(access: AccessControl, method: str = "GET", path: str = "/", **headers: str) -> str:
    named = {"host": "127.0.0.1:8000"} | {name.replace("_", "-"): value for name, value in headers.items()}
    refusal = access.refuse(method, path, named, "10.0.0.1")
    return refusal.kind if refusal else ""


def test_what_the_browser_calls_its_own_site_passes_whatever_the_proxy_made_of_the_host() -> None:
    own = {"origin": "https://photos.example", "sec_fetch_site": "same-origin"}
    assert refused(gate(), **own) == ""
    assert refused(gate(), "POST", "/v1/labels", **own) == ""


def test_names_that_are_allowed_are_ours() -> None:
    named = gate(hosts=("photos.example",))
    assert refused(named, "POST", "/v1/labels", origin="https://photos.example") == ""
    assert refused(named, "POST", "/v1/labels", origin="https://photos.example:443") == ""
    # Whatever else answers there is another site.
    assert refused(named, "POST", "/v1/labels", origin="https://photos.example:8443") == "other_site"
    assert refused(named, "POST", "/v1/labels", origin="http://photos.example:3000") == "other_site"
    own = {"host": "photos.example:8443", "origin": "https://photos.example:8443"}
    assert refused(named, "POST", "/v1/labels", **own) == ""
    assert refused(named, "POST", "/v1/labels", origin="https://photos.example.evil") == "other_site"


@pytest.mark.parametrize("fetched", ["cross-site", "same-site"])
def test_other_sites_are_still_turned_away(fetched: str) -> None:
    assert refused(gate(), "POST", "/v1/labels", sec_fetch_site=fetched) == "other_site"
    assert refused(gate(), origin="https://evil.example") == "other_site"
    assert refused(gate(), "POST", "/v1/labels", origin="null") == "other_site"


def test_health_is_told_to_whoever_watches() -> None:
    assert refused(gate(), path="/healthz", host="10.1.2.3") == ""
    assert refused(gate(), path="/v1/images", host="10.1.2.3") == "wrong_host"


@pytest.mark.parametrize("host", ["a[//", "[", "[::1", "a]b", "%00", "//", "a:b:c"])
def test_an_odd_host_is_no_name_of_ours(host: str) -> None:
    assert refused(gate(), path="/v1/images", host=host) == "wrong_host"
    assert refused(gate(), "POST", "/v1/labels", origin=f"http://{host}") == "other_site"


@pytest.mark.parametrize("root_path", ["", "/"])
def test_no_root_path_is_the_root(root_path: str) -> None:
    assert Settings(uri="x", root_path=root_path).root_path == ""
    assert Settings(uri="x", root_path="photos/").root_path == "/photos"


def test_everything_is_found_below_a_path(collection: Collection, photos: Path) -> None:
    collection.sync(photos)
    with served(collection, root_path="/photos") as server:
        for path in ("/photos/duplicates", "/duplicates"):  # a proxy may hand the path on, or take it off
            page = server.http.get(path)
            assert page.status_code == 200
            assert 'src="static/app.js"' in page.text
        assert server.http.get("/photos/static/app.js").status_code == 200
        listed = server.http.get("/photos/v1/images").json()["images"]
        assert listed
        thumbnail = server.http.get(f"/photos/v1/images/{listed[0]['id'].replace('/', '%2F')}/thumbnail")
        assert thumbnail.headers["content-type"] == "image/jpeg"


def test_the_cookie_stays_below_the_path(collection: Collection, tmp_path: Path) -> None:
    secret = tmp_path / "tokens"
    secret.write_text("read " + "r" * 20 + "\nwrite " + "w" * 20 + "\n")
    secret.chmod(0o600)
    with served(collection, root_path="/photos", tokens=str(secret)) as server:
        cookie = server.http.post("/photos/v1/login", json={"token": "w" * 20}).headers["set-cookie"]
        assert "Path=/photos" in cookie
        assert "Secure" not in cookie


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """The ports of a running nginx with the snippet of deploy/, and of the server behind it."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(program).exists():
        pytest.skip("nginx is not installed")
    front, back = free_port(), free_port()
    snippet = (SNIPPETS / "nginx.conf").read_text().replace("127.0.0.1:8000", f"127.0.0.1:{back}")
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"daemon off; pid {tmp_path}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {tmp_path}/body; proxy_temp_path {tmp_path}/proxy;\n"
        f"fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;\n"
        f"server {{ listen 127.0.0.1:{front};\n{snippet}\n"
        f"location /bare/ {{ proxy_pass http://127.0.0.1:{back}/; }} }} }}\n"
    )
    process = subprocess.Popen([program, "-p", str(tmp_path), "-c", str(config)], stderr=subprocess.PIPE)
    try:
        time.sleep(0.5)
        assert process.poll() is None, process.stderr.read().decode()  # type: ignore[union-attr]
        yield front, back
    finally:
        process.terminate()
        process.communicate(timeout=10)


def test_behind_nginx_the_page_and_its_searches_work(
    nginx: tuple[int, int], collection: Collection, photos: Path
) -> None:
    front, back = nginx
    collection.sync(photos)
    options = {"root_path": "/photos", "hosts": ("photos.example",), "trust_proxy": ("127.0.0.1",)}
    with served(collection, port=back, **options), httpx.Client(base_url=f"http://127.0.0.1:{front}") as client:
        as_browser = {
            "host": "photos.example",
            "origin": "https://photos.example",
            "sec-fetch-site": "same-origin",
        }
        for prefix in ("/photos", "/bare"):  # as deploy/ has it, and as most people write it
            page = client.get(f"{prefix}/", headers=as_browser)
            assert page.status_code == 200, page.text
            script = client.get(f"{prefix}/static/app.js", headers=as_browser)
            assert script.headers["content-type"].startswith("text/javascript")
            listed = client.get(f"{prefix}/v1/images", headers=as_browser).json()["images"]
            upload = client.post(
                f"{prefix}/v1/queries", headers=as_browser, files={"image": encode(picture(COLOURS["red"]))}
            )
            assert listed
            assert upload.status_code == 201, upload.text
        evil = as_browser | {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
        assert client.post("/photos/v1/queries", headers=evil, content=b"x").status_code == 403


@pytest.mark.parametrize(("trusted", "counted"), [(("127.0.0.1",), False), ((), True)])
def test_only_a_trusted_proxy_says_who_asks(
    collection: Collection, photos: Path, trusted: tuple[str, ...], *, counted: bool
) -> None:
    """A client that makes up an address for each request dodges the rate limit only where the proxy is trusted."""
    collection.sync(photos)
    with served(collection, rate=0.5, trust_proxy=trusted) as server:
        statuses = [
            server.http.get("/v1/images", headers={"x-forwarded-for": f"10.0.0.{n}"}).status_code for n in range(8)
        ]
        assert (429 in statuses) is counted
