"""The server as a process: settings, startup, workers, limits on slow clients."""
