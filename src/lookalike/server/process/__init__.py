"""The server process: settings, startup, workers, limits on slow clients."""
