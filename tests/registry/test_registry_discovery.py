"""What is found, what is imported, who owns a name, and what an error says."""

from __future__ import annotations

import pickle
import shutil
import sys
from pathlib import Path

import pytest

from loretta_framework.api.errors import PluginError
from loretta_framework.registry import Registry
from loretta_framework.registry.discovery import BUNDLED
from loretta_framework.testing.broken_plugins import FAULTS, SOUND, write_plugin


def statuses(registry: Registry) -> dict[str, str]:
    return {record.name: record.status for record in registry.records}


def test_builtin_components_are_always_there(site: Path) -> None:
    registry = Registry.discover(set())
    assert registry.names("modality") == ("text_bytes",)
    assert registry.names("backbone") == ("transformer",)
    assert registry.names("objective") == ("causal", "causal_masked", "transitive")
    assert registry.names("callback") == ("progress", "tensorboard")
    assert registry.names("source") == ()
    assert set(registry.names("evaluator")) == {
        "likelihood",
        "retrieval",
        "class_consistency",
        "gallery",
    }
    assert registry.records[0].name == "builtin"
    assert registry.distribution("causal") == "loretta-framework 0.1.0"
    capabilities = registry.spec("objective", "transitive").capabilities  # type: ignore[attr-defined]
    assert capabilities.rollouts
    assert capabilities.needs_bridges


def test_only_needed_plugins_are_imported_and_others_on_demand(site: Path) -> None:
    write_plugin(site, "alpha")
    write_plugin(site, "beta")
    registry = Registry.discover({"alpha"})
    assert "loretta_plugin_alpha" in sys.modules
    assert "loretta_plugin_beta" not in sys.modules
    assert statuses(registry)["beta"] == "unchecked"
    assert registry.spec("modality", "beta.thing").name == "beta.thing"
    assert statuses(registry)["beta"] == "ok"
    assert registry.distribution("beta.thing") == "loretta-plugin-beta 1.0"


def test_discovering_loads_no_factory_and_no_settings(site: Path) -> None:
    write_plugin(site, "alpha")
    Registry.discover({"alpha"})
    assert "loretta_plugin_alpha.parts" not in sys.modules


def test_a_registry_survives_pickling(site: Path) -> None:
    write_plugin(site, "alpha")
    write_plugin(site, "beta")
    registry = pickle.loads(pickle.dumps(Registry.discover({"alpha"})))  # a worker's copy
    assert registry.spec("modality", "alpha.thing").version == 1
    assert registry.spec("modality", "beta.thing").version == 1


def test_allow_list(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_plugin(site, "alpha")
    write_plugin(site, "beta")
    monkeypatch.setenv("LORETTA_PLUGINS", " alpha ,")
    registry = Registry.discover({"alpha", "beta"})
    assert statuses(registry)["alpha"] == "ok"
    assert statuses(registry)["beta"] == "disabled"
    with pytest.raises(
        PluginError, match="switched off: LORETTA_PLUGINS does not list it"
    ) as error:
        registry.spec("modality", "beta.thing")
    assert "add 'beta' to LORETTA_PLUGINS" in str(error.value)

    monkeypatch.setenv("LORETTA_PLUGINS", "")
    registry = Registry.discover()
    assert {name for name, status in statuses(registry).items() if status == "ok"} == {"builtin"}


def test_two_distributions_with_one_plugin_name_are_both_refused(site: Path) -> None:
    write_plugin(site, "alpha")
    write_plugin(site, "alpha", distribution="evil-alpha", version="2.0")
    registry = Registry.discover({"alpha"})
    rivals = [record for record in registry.records if record.name == "alpha"]
    assert [record.status for record in rivals] == ["collision", "collision"]
    assert "evil_alpha" not in sys.modules
    assert "loretta_plugin_alpha" not in sys.modules
    with pytest.raises(PluginError) as error:
        registry.spec("modality", "alpha.thing")
    assert "evil-alpha 2.0" in str(error.value)
    assert "loretta-plugin-alpha 1.0" in str(error.value)
    assert "neither is used" in str(error.value)


@pytest.mark.parametrize("first", ["alpha", "alpha.beta"])
def test_two_plugins_with_one_component_are_both_refused(site: Path, first: str) -> None:
    write_plugin(site, "alpha", SOUND.replace("{name}.thing", "alpha.beta.thing"))
    write_plugin(site, "alpha.beta")
    registry = Registry.discover({first})
    with pytest.raises(PluginError) as error:
        registry.spec("modality", "alpha.beta.thing")
    assert "loretta-plugin-alpha 1.0" in str(error.value)
    assert "loretta-plugin-alpha-beta 1.0" in str(error.value)
    found = statuses(registry)
    assert (found["alpha"], found["alpha.beta"]) == ("collision", "collision")


def test_the_name_of_the_core_plugin_cannot_be_taken(site: Path) -> None:
    write_plugin(site, "builtin", distribution="evil-core")
    registry = Registry.discover()
    assert "evil_core" not in sys.modules
    assert [(r.distribution, r.status) for r in registry.records if r.name == "builtin"] == [
        ("loretta-framework", "ok"),
        ("evil-core", "collision"),
    ]
    with pytest.raises(
        PluginError, match=r"unknown modality 'text_byte' \(did you mean 'text_bytes'\?\)"
    ):
        registry.spec("modality", "text_byte")


def test_a_distribution_seen_twice_counts_once(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_plugin(site, "alpha")
    twin = tmp_path / "lib64"
    shutil.copytree(site, twin)
    (twin / "loretta_plugin_alpha-1.0.dist-info").rename(
        twin / "Loretta.Plugin_Alpha-1.0.dist-info"
    )
    monkeypatch.syspath_prepend(str(twin))
    (info,) = [path for path in twin.iterdir() if path.suffix == ".dist-info"]
    metadata = (
        (info / "METADATA").read_text().replace("loretta-plugin-alpha", "Loretta.Plugin_Alpha")
    )
    (info / "METADATA").write_text(metadata)
    registry = Registry.discover({"alpha"})
    assert [record.status for record in registry.records if record.name == "alpha"] == ["ok"]


def test_a_link_and_an_egg_info_of_one_distribution_count_once(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_plugin(site, "alpha")
    (info,) = site.glob("*.dist-info")
    egg = site / "Loretta_Plugin_Alpha.egg-info"  # what an editable install of old leaves
    egg.mkdir()
    text = (info / "METADATA").read_text().replace("loretta-plugin-alpha", "Loretta_Plugin.Alpha")
    (egg / "PKG-INFO").write_text(text)
    shutil.copy(info / "entry_points.txt", egg)
    link = tmp_path / "lib64"
    link.symlink_to(site)
    monkeypatch.syspath_prepend(str(link))
    registry = Registry.discover({"alpha"})
    assert [record.status for record in registry.records if record.name == "alpha"] == ["ok"]


def test_the_requirements_of_an_egg_info_count(site: Path) -> None:
    write_plugin(site, "alpha")
    (info,) = site.glob("*.dist-info")
    info.rename(site / "loretta_plugin_alpha.egg-info")
    egg = site / "loretta_plugin_alpha.egg-info"
    (egg / "METADATA").rename(egg / "PKG-INFO")
    (egg / "requires.txt").write_text("loretta-framework>=77\n")
    (record,) = [r for r in Registry.discover({"alpha"}).records if r.name == "alpha"]
    assert record.status == "incompatible"


def test_torch_at_discovery_is_noted_as_the_plugins_fault(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "torch.py").write_text("")  # a stand-in: what counts is that the name appears
    write_plugin(site, "alpha", FAULTS["imports_torch"])
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    (record,) = [r for r in Registry.discover({"alpha"}).records if r.name == "alpha"]
    assert record.status == "ok"
    assert "imports torch when it is discovered" in record.note


def test_unknown_names_get_the_nearest_or_the_install_command(site: Path) -> None:
    write_plugin(site, "alpha")
    registry = Registry.discover(set())
    cases = {
        "llm.qwen": "pip install loretta-plugin-llm",
        "alpha.thin": "unknown modality 'alpha.thin' (did you mean 'alpha.thing'?)",
        "alhpa.thing": "no plugin 'alhpa' is installed (did you mean 'alpha'?)",
        "zzz.thing": "unknown modality 'zzz.thing': no plugin 'zzz' is installed\n",
        "qqqqqq": "unknown modality 'qqqqqq'\n",
        "transformer": "'transformer' is a backbone, but a modality is needed here",
        "transitive": "'transitive' is an objective, but a modality is needed here",
    }
    for name, expected in cases.items():
        with pytest.raises(PluginError) as error:
            registry.spec("modality", name)
        assert expected in str(error.value), name
    with pytest.raises(PluginError, match="unknown component 'qqqqqq'"):
        registry.group("qqqqqq")
    with pytest.raises(PluginError, match="unknown component 'qqqqqq'"):
        registry.distribution("qqqqqq")


@pytest.mark.parametrize(
    "name",
    ["os.system", "builtins.eval", "os:system", "loretta_framework.cli.main:main", "../x", ""],
)
def test_an_import_path_is_a_name_like_any_other(site: Path, name: str) -> None:
    with pytest.raises(PluginError, match="unknown"):
        Registry.discover().spec("modality", name)


def test_every_plugin_of_this_project_is_known_by_name() -> None:
    folders = (Path(__file__).parents[2] / "plugins").glob("loretta-plugin-*")
    names = {folder.name.removeprefix("loretta-plugin-") for folder in folders}
    assert len(names) >= 4
    assert names <= set(BUNDLED)
