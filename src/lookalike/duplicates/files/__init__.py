"""Remove extras and restore them: plan, journal, moves, trash, undo."""
