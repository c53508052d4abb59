"""The memory forecast: how much is free, and an error before an allocation that cannot succeed."""

from ..errors import MemoryForecastError


def free_memory() -> int | None:
    """Bytes that can still be allocated, or None if that is unknown."""
    try:
        with open("/proc/meminfo") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    free = int(line.split()[1]) * 1024
                    break
            else:
                return None
    except OSError:
        return None
    try:
        with (
            open("/sys/fs/cgroup/memory.max") as limit,
            open("/sys/fs/cgroup/memory.current") as current,
        ):
            free = min(free, int(limit.read()) - int(current.read()))
    except (OSError, ValueError):  # no cgroup v2, or no limit
        pass
    return free


def forecast_memory(n_bytes: int, purpose: str) -> None:
    """Raise `MemoryForecastError` before an allocation that cannot succeed."""
    free = free_memory()
    if free is not None and n_bytes > free:
        raise MemoryForecastError(
            f"{purpose} needs {n_bytes:,} bytes and {free:,} are free; "
            "use a smaller chain or a machine with more memory"
        )
