"""Engines past one process: the same work by the workers of a Ray cluster (extra `ray`)."""

from lookalike.engine.ray_engine import RayEngine
from lookalike.engine.ray_tasks import RayTasks

__all__ = ["RayEngine", "RayTasks"]
