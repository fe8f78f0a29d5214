"""The command line: one file a verb, each thin. Only here does anything exit or print."""
