"""The plugin contract's version: one integer, raised when a hook, spec or protocol changes."""

API_VERSION = 1
"""The contract this framework speaks."""

API_MIN = 1
"""The oldest contract it still accepts from a plugin."""

ENTRY_POINT_GROUP = "loretta"
"""Entry-point group in which distributions announce their plugin module."""
