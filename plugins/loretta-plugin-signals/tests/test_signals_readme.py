"""The README's recipes hold settings that the components take."""

import re
from pathlib import Path

import pytest
import yaml
from loretta_plugin_signals.levels import LevelsSettings
from loretta_plugin_signals.patch_codes import PatchCodesSettings
from loretta_plugin_signals.patches import PatchesSettings

README = Path(__file__).parents[1] / "README.md"
KINDS = {
    "signals.levels": LevelsSettings,
    "signals.patch_codes": PatchCodesSettings,
    "signals.patches": PatchesSettings,
}
BLOCKS = re.findall(r"```yaml\n(.*?)```", README.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_recipes_of_the_readme_hold(block: str) -> None:
    nodes = [node for node in yaml.safe_load(block)["modalities"].values() if node["kind"] in KINDS]
    assert nodes
    for node in nodes:
        assert KINDS[node["kind"]](**node["settings"]).bounds().max_tokens > 1


def test_every_setting_stands_in_the_readme() -> None:
    text = README.read_text("utf-8")
    names = {name for kind in KINDS.values() for name in kind.model_fields}
    assert not [name for name in sorted(names) if f"`{name}`" not in text]
