"""The client of a server: `lookalike.connect(url)` returns a remote Collection. It does not need FastAPI."""

from lookalike.client.remote import RemoteCollection, connect

__all__ = ["RemoteCollection", "connect"]
