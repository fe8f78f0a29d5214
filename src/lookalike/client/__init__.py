"""The client of a server: `lookalike.connect(url)` returns a remote Collection. It does not need FastAPI."""

from lookalike.client.remote import RemoteCollection, RemotePartHit, connect

__all__ = ["RemoteCollection", "RemotePartHit", "connect"]
