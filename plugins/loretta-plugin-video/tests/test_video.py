"""Everything loretta-framework expects of the plugin, checked by its conformance kit."""

from loretta_framework.testing.conformance import Conformance


class TestVideo(Conformance):
    plugin = "video"
