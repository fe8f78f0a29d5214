"""How much memory this process may still take: what the system, its control group and its own limit leave."""

from contextlib import suppress
from pathlib import Path

UNKNOWN = 1 << 62


def available_memory() -> int:
    """Return bytes, or UNKNOWN where the system does not tell (macOS, Windows)."""
    return min(_of_system(), _of_control_group(), _of_address_space())


def _of_system() -> int:
    with suppress(OSError, ValueError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), UNKNOWN)
    return UNKNOWN


def _of_control_group() -> int:
    """Of version 2, as in containers; what files take in its page cache counts as free."""
    root = Path("/sys/fs/cgroup")
    with suppress(OSError, ValueError):
        group = Path("/proc/self/cgroup").read_text(encoding="ascii").rpartition("::")[2].strip().lstrip("/")
        folder = root / group if (root / group / "memory.max").exists() else root
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        if limit == "max":
            return UNKNOWN
        facts = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        used = int((folder / "memory.current").read_text(encoding="ascii")) - int(facts.get("file", 0))
        return max(0, int(limit) - used)
    return UNKNOWN


def _of_address_space() -> int:
    with suppress(ImportError, OSError, ValueError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return UNKNOWN
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        return max(0, limit - pages * resource.getpagesize())
    return UNKNOWN
