"""lookalike serve: what it refuses before it starts. That it serves: tests/server/test_life.py."""

from pathlib import Path

from tests.cli.conftest import Cli


def test_it_names_what_is_missing(cli: Cli, photos: Path, tmp_path: Path) -> None:
    none = cli("serve")
    assert (none.code, none.out) == (1, "")
    assert "lookalike index" in none.err
    cli("index", photos)
    open_to_all = cli("serve", "--host", "0.0.0.0")
    assert open_to_all.code == 1
    assert "--token-file" in open_to_all.err
    (tmp_path / "t").write_text("nonsense")
    odd = cli("serve", "--token-file", tmp_path / "t")
    assert "token file" in odd.err
    assert "open http" not in open_to_all.err + odd.err
    assert cli("serve", "--port", "0").code == 2


def test_a_port_in_use_is_an_error(cli: Cli, photos: Path) -> None:
    import socket

    cli("index", photos)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        taken = cli("serve", "--port", sock.getsockname()[1])
    assert taken.code == 1
    assert "--port" in taken.err
    assert "in use" in taken.err
    assert "open http" not in taken.err
