"""The version, once: packaging, `--version`, the API and reports read it here."""

__version__ = "0.1.0"
"""The version of the package, as MAJOR.MINOR.PATCH."""
