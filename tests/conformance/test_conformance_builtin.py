"""The framework's own components keep the contract that plugins must keep."""

from loretta_framework.testing.conformance import Conformance


class TestBuiltin(Conformance):
    plugin = "builtin"
