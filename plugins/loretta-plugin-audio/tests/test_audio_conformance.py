"""Everything loretta-framework expects of the components, checked by its conformance kit."""

from loretta_framework.testing.conformance import Conformance


class TestAudio(Conformance):
    plugin = "audio"
