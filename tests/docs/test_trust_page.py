"""The names on the page on trust are real; `test_site` runs its commands."""

from __future__ import annotations

from pathlib import Path

from loretta_framework.cli.main import cli
from loretta_framework.registry import records, switches

PAGE = (Path(__file__).parents[2] / "docs" / "plugins" / "trust.md").read_text(encoding="utf-8")


def test_every_switch_and_status_is_told() -> None:
    for variable in (switches.ALLOW_LIST, switches.WITHOUT, switches.SAFE_MODE, switches.STRICT):
        assert variable in PAGE
    for status in (*records.UNUSABLE, "ok", "disabled", "unchecked"):
        assert f"| `{status}` |" in PAGE
    options = {name for parameter in cli.params for name in parameter.opts}
    assert {"-x", "--without", "--safe-mode", "--strict-plugins"} <= options
