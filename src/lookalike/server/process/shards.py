"""The shards of a server on a Ray cluster: started with the server, ended with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from lookalike.server.process.settings import Settings

if TYPE_CHECKING:
    from lookalike.engine.shard_application import ShardOptions


def shard_options(settings: Settings) -> "ShardOptions":
    """Return how the collection of these settings is divided."""
    from lookalike.engine.shard_application import ShardOptions
    from lookalike.server.service.collection_service import HIDDEN_COLUMNS

    return ShardOptions(settings.uri, settings.shards, settings.replicas, skip_columns=HIDDEN_COLUMNS)


@contextmanager
def running_shards(settings: Settings) -> Iterator[Settings]:
    """Run the shards on the cluster of these settings; yield settings by which all workers reach it."""
    if not settings.ray:
        yield settings
        return
    from lookalike.engine.shard_application import serve_shards

    with serve_shards(settings.ray, shard_options(settings)) as address:
        yield replace(settings, ray=address)
