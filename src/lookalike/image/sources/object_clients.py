"""The libraries that speak to object stores: obstore, boto3 for keys that it does not take, and that of a model hub."""

import os
import re
import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Protocol

from lookalike.errors import ImageTooLarge, SourceError
from lookalike.image.decoding.limits import Limits, too_many_bytes
from lookalike.image.sources.hub_client import SCHEME as HUB
from lookalike.image.sources.hub_client import HubClient
from lookalike.image.sources.object_types import ObjectFacts

LISTED_AT_ONCE = 1000  # objects: a page of S3
RETRY_SECONDS = 60.0  # a store that is away for so long fails
CONNECT_SECONDS, ANSWER_SECONDS = 5, 60
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT", "GOOGLE_BASE_URL")
_REFUSED = re.compile("invalid path:")


class ObjectClient(Protocol):
    """One bucket. Methods raise whatever the library raises, but FileNotFoundError for an object that is not there."""

    def list(self, prefix: str) -> Iterator[ObjectFacts]:
        """Yield the objects below a prefix by key, in pages."""
        ...

    def head(self, key: str) -> ObjectFacts:
        """Return the facts of one object."""
        ...

    def read(self, key: str, limits: Limits) -> bytes:
        """Return an object's content. Raises ImageTooLarge before it is read."""
        ...

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Return some bytes of an object."""
        ...


def client_of(bucket: str, key: str) -> ObjectClient:
    """Return the client for a key (or a prefix) of a bucket. Raises SourceError where its library is not installed."""
    if bucket.startswith(f"{HUB}://"):
        return _hub_client(bucket, os.getpid())
    odd = bucket.startswith("s3://") and any(name in ("", ".", "..") for name in key.split("/")) and key != ""
    return _boto3_client(bucket, os.getpid()) if odd else _obstore_client(bucket, os.getpid())


class _Obstore:
    def __init__(self, bucket: str) -> None:
        try:
            from obstore.store import from_url
        except ImportError as error:
            raise _not_installed("obstore") from error
        backoff = {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=2), "base": 2}
        retry = {"retry_timeout": timedelta(seconds=RETRY_SECONDS), "max_retries": 1000, "backoff": backoff}
        client = {
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
            "timeout": timedelta(seconds=ANSWER_SECONDS),
            "allow_http": (_endpoint() or "").startswith("http://"),
        }
        options: dict[str, Any] = {"retry_config": retry, "client_options": client}
        if bucket.startswith("s3://") and not _has_s3_credentials() and (provider := _boto3_provider()):
            options["credential_provider"] = provider
        self._bucket, self._store = bucket, from_url(bucket, **options)

    def list(self, prefix: str) -> Iterator[ObjectFacts]:
        last = ""
        try:
            for page in self._store.list(prefix or None, chunk_size=LISTED_AT_ONCE):
                for item in page:
                    last = item["path"]
                    yield _facts(item)
        except Exception as error:
            # obstore fails on a page of which one key has an empty, "." or ".." name between slashes.
            if not _REFUSED.search(str(error)) or not self._bucket.startswith("s3://"):
                raise
            yield from _boto3_client(self._bucket, os.getpid()).list(prefix, after=last)

    def head(self, key: str) -> ObjectFacts:
        return _facts(self._store.head(key))

    def read(self, key: str, limits: Limits) -> bytes:
        response = self._store.get(key)
        _check_size(int(response.meta["size"]), limits)
        return bytes(response.bytes())

    def read_range(self, key: str, start: int, length: int) -> bytes:
        return bytes(self._store.get_range(key, start=start, length=length))


class _Boto3:
    def __init__(self, bucket: str) -> None:
        try:
            import boto3
            from botocore.config import Config
        except ImportError as error:
            raise _not_installed("boto3") from error
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=ANSWER_SECONDS,
            retries={"max_attempts": 10, "mode": "standard"},
        )
        self._bucket = bucket.removeprefix("s3://")
        self._client = boto3.session.Session().client("s3", endpoint_url=_endpoint(), config=config)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectFacts]:
        folder = f"{prefix}/" if prefix else ""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=folder, StartAfter=after
        )
        for page in pages:
            for item in page.get("Contents", ()):
                yield ObjectFacts(item["Key"], int(item["Size"]), _time(item["LastModified"], item["ETag"]))

    def head(self, key: str) -> ObjectFacts:
        from botocore.exceptions import ClientError

        try:
            item = self._client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                raise FileNotFoundError(key) from error
            raise
        return ObjectFacts(key, int(item["ContentLength"]), _time(item["LastModified"], item["ETag"]))

    def read(self, key: str, limits: Limits) -> bytes:
        response = self._client.get_object(Bucket=self._bucket, Key=key)
        _check_size(int(response["ContentLength"]), limits)
        return bytes(response["Body"].read())

    def read_range(self, key: str, start: int, length: int) -> bytes:
        span = f"bytes={start}-{start + length - 1}"
        return bytes(self._client.get_object(Bucket=self._bucket, Key=key, Range=span)["Body"].read())


@lru_cache(maxsize=64)
def _obstore_client(bucket: str, _process: int) -> _Obstore:
    return _Obstore(bucket)


@lru_cache(maxsize=64)
def _hub_client(bucket: str, _process: int) -> HubClient:
    return HubClient(bucket)


@lru_cache(maxsize=64)
def _boto3_client(bucket: str, _process: int) -> _Boto3:
    return _Boto3(bucket)


def _facts(item: Any) -> ObjectFacts:
    return ObjectFacts(str(item["path"]), int(item["size"]), _time(item["last_modified"], item["e_tag"]))


def _time(modified: datetime, e_tag: str | None) -> int:
    """Return the time of an object in nanoseconds.

    Stores tell whole seconds; the rest is that of the entity tag, which changes with the content, so that an object of
    the same size that is written twice in a second is seen to change.
    """
    return int(modified.timestamp()) * 10**9 + zlib.crc32((e_tag or "").strip('"').encode()) % 10**9


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.max_bytes:
        raise ImageTooLarge(too_many_bytes(size, limits))


def _endpoint() -> str | None:
    """Return the endpoint that the environment names, of a server that is not the provider's own."""
    return next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), None)


def _has_s3_credentials() -> bool:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SKIP_SIGNATURE", "AWS_WEB_IDENTITY_TOKEN_FILE")
    return any(name in os.environ for name in names)


def _boto3_provider() -> Any:
    """Return the credentials of the AWS configuration files, if there are any and boto3 is installed to read them."""
    if not os.path.exists(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", os.path.expanduser("~/.aws/credentials"))):
        return None
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider

        return Boto3CredentialProvider()
    except Exception:  # no boto3, or a profile that it cannot read: the store's own chain is tried
        return None


def _not_installed(name: str) -> SourceError:
    return SourceError(f"object stores need {name}; install it with: pip install 'lookalike[remote]'")
