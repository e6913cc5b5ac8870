"""Rules of the tree, measured."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN_ROOMS = {"utils", "util", "helpers", "helper", "common", "misc"}
SKIPPED = {"runs", "build", "dist", "site", "node_modules", "__pycache__"}


def sources() -> list[Path]:
    """Python files of the core and of the bundled plugins, tests left out."""
    files = [*ROOT.glob("loretta_framework/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]
    assert len(files) > 40
    return files


def project_files() -> list[Path]:
    """Every text file that belongs to the project."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        kept = [name for name in folders if name not in SKIPPED and not name.endswith(".egg-info")]
        folders[:] = [name for name in kept if not name.startswith(".") or name == ".ci"]
        if Path(folder) == ROOT:
            folders[:] = [name for name in folders if name != "data"]
        found += [Path(folder, name) for name in names]
    return found


def test_no_room_or_file_has_a_name_that_says_nothing() -> None:
    for file in sources():
        parts = {*file.relative_to(ROOT).parts[:-1], file.stem}
        assert not parts & FORBIDDEN_ROOMS, file


def test_files_are_small() -> None:
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in sources()}
    too_long = {str(file): length for file, length in lengths.items() if length > 350}
    assert not too_long
    assert median(lengths.values()) <= 150


def test_only_continuous_integration_knows_what_lies_beside_the_checkout() -> None:
    place = re.compile(r"\.\./shared\b|/work/|/root/")
    allowed = {ROOT / ".ci" / "run", Path(__file__)}
    for file in project_files():
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if file not in allowed:
            assert not place.search(text), file


BANNED_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
BANNED_CALLS = {
    "eval",
    "exec",
    "torch.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "os.system",
    "os.popen",
}
UNSAFE_LOADERS = {"Loader", "UnsafeLoader", "FullLoader"}


def dangers(source: str) -> list[str]:
    """What the source does that data from a stranger could turn against its user."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Call):
            found += _call(node)
    banned = BANNED_MODULES | BANNED_CALLS
    return [name for name in found if name in banned or name.startswith("unsafe:")]


def _call(node: ast.Call) -> list[str]:
    name = ast.unparse(node.func)
    found = [name]
    for keyword in node.keywords:
        off = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
        if keyword.arg in ("shell", "allow_pickle", "trust_remote_code") and not off:
            found.append(f"unsafe:{keyword.arg}")
    if name.endswith((".extractall", ".extract")):
        found.append(f"unsafe:{name}")
    if name == "yaml.load":
        loaders = [*node.args[1:], *(k.value for k in node.keywords if k.arg == "Loader")]
        if not loaders or ast.unparse(loaders[0]).rpartition(".")[2] in UNSAFE_LOADERS:
            found.append("unsafe:yaml.load")
    return found


def test_nothing_runs_code_from_data() -> None:
    for file in sources():
        assert not dangers(file.read_text(encoding="utf-8")), file


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "from torch import load",
        "torch.load(path, weights_only=True)",
        "eval(text)",
        "exec(text)",
        "subprocess.run(text, shell=True)",
        "np.load(path, allow_pickle=flag)",
        "yaml.load(text)",
        "yaml.load(text, yaml.UnsafeLoader)",
        "yaml.load(text, Loader=yaml.FullLoader)",
        "tar.extractall(folder)",
        "os.system(text)",
    ],
)
def test_the_scan_sees_what_is_banned(source: str) -> None:
    assert dangers(source)


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "json.loads(text)",
        "np.load(path, allow_pickle=False)",
        "yaml.load(text, Loader=StrictLoader)",
        "tar.extractfile(member)",
        "subprocess.run([a, b])",
    ],
)
def test_the_scan_lets_sound_code_pass(source: str) -> None:
    assert not dangers(source)
