"""Engines past one process: the same work by the workers of a Ray cluster (extra `ray`)."""

from lookalike.engine.ray_engine import RayEngine

__all__ = ["RayEngine"]
