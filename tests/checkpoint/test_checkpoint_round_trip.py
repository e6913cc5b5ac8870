"""What is saved comes back bit for bit."""

import json

import pytest
import torch
from hypothesis import given, settings, strategies as st
from safetensors.torch import load_file

from loretta_framework.api.errors import CheckpointError
from loretta_framework.checkpoint.store import find_checkpoint, load_checkpoint, save_checkpoint

DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint64,
    torch.uint32,
    torch.uint16,
    torch.uint8,
    torch.bool,
]


def bits(tensor):
    fresh = torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach())
    return fresh.flatten().view(torch.uint8).tolist()


def assert_same(loaded, saved):
    assert loaded.keys() == saved.keys()
    for name, tensor in saved.items():
        assert loaded[name].dtype == tensor.dtype, name
        assert loaded[name].shape == tensor.shape, name
        assert bits(loaded[name]) == bits(tensor), name


def round_trip(root, group, state=None):
    return load_checkpoint(save_checkpoint(root, 7, {"model": group}, state or {}))


@st.composite
def tensors(draw):
    """Any dtype and bit pattern, NaNs with payload included; contiguous, transposed or strided."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    size = torch.empty(shape, dtype=dtype).nbytes
    raw = draw(st.binary(min_size=size, max_size=size))
    if dtype == torch.bool:
        raw = bytes(byte & 1 for byte in raw)
    tensor = torch.frombuffer(bytearray(raw), dtype=dtype) if size else torch.empty(0, dtype=dtype)
    tensor = tensor.reshape(shape)
    if tensor.dim() and draw(st.booleans()):
        tensor = tensor.transpose(0, -1)
    if tensor.dim() and draw(st.booleans()):
        tensor = tensor[::2]
    return tensor


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@settings(max_examples=150, deadline=None)
@given(group=st.dictionaries(NAMES.filter(lambda name: name != "__metadata__"), tensors()))
def test_tensors_of_any_kind_come_back_with_dtype_shape_and_bits(tmp_path_factory, group):
    assert_same(round_trip(tmp_path_factory.mktemp("save"), group).tensors["model"], group)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(state=st.dictionaries(st.text(max_size=8), PLAIN))
def test_state_comes_back_with_every_digit(tmp_path_factory, state):
    loaded = round_trip(tmp_path_factory.mktemp("save"), {}, state).state
    assert loaded == state
    assert repr(loaded) == repr(state)  # 1, 1.0 and True are equal but not the same


def test_tied_weights_views_and_parameters_are_saved(tmp_path):
    base = torch.arange(12, dtype=torch.float32)
    group = {
        "embedding": base,
        "head": base,
        "view": base[3:7],
        "expanded": torch.ones(1).expand(5),
        "parameter": torch.nn.Parameter(torch.randn(2, 2)),
        "one with a stride": torch.arange(2.0)[::2],
        "scalar": torch.tensor(3, dtype=torch.int64),
        "empty": torch.empty(0, 4, dtype=torch.bfloat16),
    }
    assert_same(round_trip(tmp_path, group).tensors["model"], group)


def test_each_group_is_a_file_that_the_library_reads(tmp_path):
    groups = {
        "model": {"w": torch.randn(3)},
        "optimizer": {"m": torch.randn(3), "n": torch.ones(1)},
    }
    path = save_checkpoint(tmp_path / "checkpoints", 500, groups, {"cursor": 3})
    assert path.name == "step-00000500"
    assert sorted(item.name for item in path.iterdir()) == [
        "manifest.json",
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
    ]
    for group, named in groups.items():
        assert_same(load_file(path / f"{group}.safetensors"), named)
    loaded = load_checkpoint(path)
    assert (loaded.step, loaded.state) == (500, {"cursor": 3})
    assert loaded.tensors.keys() == groups.keys()


def test_the_same_content_makes_the_same_bytes(tmp_path):
    group = {"b": torch.ones(3), "a": torch.zeros(2, dtype=torch.float64)}
    first = save_checkpoint(tmp_path / "1", 1, {"model": group}, {"k": 1})
    second = save_checkpoint(tmp_path / "2", 1, {"model": dict(reversed(group.items()))}, {"k": 1})
    for name in ("model.safetensors", "state.json", "manifest.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_changing_loaded_tensors_does_not_change_the_file(tmp_path):
    path = save_checkpoint(tmp_path, 1, {"model": {"w": torch.zeros(4)}}, {})
    load_checkpoint(path).tensors["model"]["w"].fill_(1)
    assert load_checkpoint(path).tensors["model"]["w"].tolist() == [0, 0, 0, 0]


def test_some_groups_can_be_read_alone(tmp_path):
    path = save_checkpoint(tmp_path, 1, {"model": {"w": torch.ones(1)}, "optimizer": {}}, {})
    (path / "optimizer.safetensors").write_bytes(
        (path / "optimizer.safetensors").read_bytes().replace(b"pt", b"tf")
    )
    assert load_checkpoint(path, ["model"]).tensors.keys() == {"model"}
    with pytest.raises(CheckpointError, match=r"optimizer\.safetensors is damaged"):
        load_checkpoint(path)
    with pytest.raises(CheckpointError, match=r"no \['ema'\], only \['model', 'optimizer'\]"):
        load_checkpoint(path, ["ema"])


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": {"b": [1.0, float("nan")]}}, r"'a\.b\[1\]' must be finite, but is nan"),
        ({"a": float("-inf")}, r"'a' must be finite, but is -inf"),
        ({"a": {1: 2}}, r"the keys of 'a' must be strings, but one is 1"),
        ({"a": torch.ones(1)}, r"'a' must be plain data, but is a Tensor"),
        ({"a": b"raw"}, r"'a' must be plain data, but is a bytes"),
    ],
)
def test_state_that_would_not_come_back_is_refused(tmp_path, state, message):
    with pytest.raises(CheckpointError, match=message):
        save_checkpoint(tmp_path / "root", 1, {}, state)
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(
    "group",
    [
        {"bad": torch.ones(2, dtype=torch.complex128)},
        {"bad": torch.ones(2, 2).to_sparse()},
        {"__metadata__": torch.ones(1)},
    ],
)
def test_tensors_that_the_format_lacks_are_refused(tmp_path, group):
    with pytest.raises(CheckpointError, match=r"tensor '\w+' \(.*\) cannot be written"):
        save_checkpoint(tmp_path, 1, {"model": group}, {})
    assert find_checkpoint(tmp_path, pytest.fail) is None


@pytest.mark.parametrize(("step", "group"), [(-1, "model"), (1, "../model"), (1, "Model")])
def test_a_step_or_group_that_makes_no_name_is_a_bug_of_the_caller(tmp_path, step, group):
    with pytest.raises(ValueError, match="a step must be 0 or more"):
        save_checkpoint(tmp_path, step, {group: {}}, {})


def test_nothing_in_a_checkpoint_is_a_pickle(tmp_path):
    path = save_checkpoint(tmp_path, 1, {"model": {"w": torch.ones(3)}}, {"a": 1})
    for item in path.iterdir():
        if item.suffix == ".json":
            json.loads(item.read_text())
        else:
            assert int.from_bytes(item.read_bytes()[:8], "little") < 200  # a safetensors header
