"""A server's collection from afar: `lookalike.connect(url)` has the Collection's verbs. It needs no FastAPI."""

from lookalike.client.remote import RemoteCollection, connect

__all__ = ["RemoteCollection", "connect"]
