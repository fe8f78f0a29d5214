"""Data sets of a model hub as buckets: hf://datasets/OWNER/NAME[@REVISION]/FOLDER (extra `hub`)."""

import re
import zlib
from collections.abc import Iterator
from typing import Any

from lookalike.errors import ImageTooLarge, SourceError
from lookalike.image.decoding.limits import Limits, too_many_bytes
from lookalike.image.sources.object_types import ObjectFacts

SCHEME = "hf"
TIMEOUT_SECONDS = 60
_BUCKET = re.compile(r"hf://datasets/([^/@]+/[^/@]+)(?:@([^/]+))?")


def split_data_set(rest: str) -> tuple[str, str]:
    """Return the bucket and the key of what follows "hf://". Raises SourceError for what is no data set."""
    parts = rest.split("/", 3)
    if len(parts) < 3 or parts[0] != "datasets" or not parts[1] or not parts[2]:
        raise SourceError(f"hf://{rest}: names no data set; write hf://datasets/OWNER/NAME/FOLDER")
    return f"hf://{'/'.join(parts[:3])}", parts[3] if len(parts) > 3 else ""


class HubClient:
    """One data set at a revision, by default its newest. See `object_clients.ObjectClient`.

    The content of a file decides its `mtime_ns`: a hub tells no time that is cheap to ask for.
    """

    def __init__(self, bucket: str) -> None:
        try:
            import huggingface_hub
            import huggingface_hub.errors
        except ImportError as error:
            raise SourceError(
                "data sets of a hub need huggingface_hub; install it with: pip install 'lookalike[hub]'"
            ) from error
        match = _BUCKET.fullmatch(bucket)
        assert match is not None
        self._repository, self._revision = match[1], match[2] or "main"
        self._hub: Any = huggingface_hub

    def list(self, prefix: str) -> Iterator[ObjectFacts]:
        tree = self._hub.HfApi().list_repo_tree(
            self._repository, prefix or None, recursive=True, revision=self._revision, repo_type="dataset"
        )
        try:
            for item in tree:
                if hasattr(item, "size"):  # a folder has none
                    yield _facts(item)
        except self._hub.errors.EntryNotFoundError:  # no such folder: there is nothing in it
            return

    def head(self, key: str) -> ObjectFacts:
        items = self._hub.HfApi().get_paths_info(self._repository, [key], revision=self._revision, repo_type="dataset")
        files = [item for item in items if item.path == key and hasattr(item, "size")]
        if not files:
            raise FileNotFoundError(key)
        return _facts(files[0])

    def read(self, key: str, limits: Limits) -> bytes:
        # One byte more than is allowed: the answer then says how many there are.
        data, size = self._get(key, 0, limits.max_bytes + 1)
        if size > limits.max_bytes:
            raise ImageTooLarge(too_many_bytes(size, limits))
        return data

    def read_range(self, key: str, start: int, length: int) -> bytes:
        return self._get(key, start, length)[0]

    def _get(self, key: str, start: int, length: int) -> tuple[bytes, int]:
        """Return some bytes of a file, and the size of the whole."""
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_backoff

        url = self._hub.hf_hub_url(self._repository, key, repo_type="dataset", revision=self._revision)
        headers = {**build_hf_headers(), "Range": f"bytes={start}-{start + length - 1}"}
        response = http_backoff("GET", url, headers=headers, timeout=TIMEOUT_SECONDS)
        if response.status_code == 416:  # an empty file has no such range
            return b"", 0
        hf_raise_for_status(response)
        content = bytes(response.content)
        if response.status_code != 206:  # a server without ranges sends the whole
            return content[start : start + length], len(content)
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
        return content, int(total) if total.isdecimal() else start + len(content)


def _facts(item: Any) -> ObjectFacts:
    return ObjectFacts(str(item.path), int(item.size), zlib.crc32(str(item.blob_id).encode()))
