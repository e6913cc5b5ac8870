"""Metrics keep every digit, and a resumed file equals an uninterrupted one."""

import json
import math
import subprocess
import sys

import pytest
from hypothesis import given, settings, strategies as st

from loretta_framework.api.errors import RunDirectoryError
from loretta_framework.train.metrics import MetricsWriter


def lines(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def write_steps(path, first, stop):
    with MetricsWriter(path) as writer:
        for step in range(first, stop):
            writer.write({"step": float(step), "loss": 1 / step, "loss/image->text": step / 3})


@settings(max_examples=50, deadline=None)
@given(value=st.floats())
def test_floats_come_back_bit_for_bit_and_the_rest_is_named(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("metrics") / "metrics.jsonl"
    with MetricsWriter(path) as writer:
        writer.write({"step": 3.0, "loss": value, "lr": 0.1})
    (line,) = lines(path)
    assert list(line)[:3] == ["step", "loss", "lr"]
    if math.isfinite(value):
        assert math.copysign(1, line["loss"]) == math.copysign(1, value)
        assert line == {"step": 3, "loss": value, "lr": 0.1}
    else:
        assert line == {"step": 3, "loss": None, "lr": 0.1, "nonfinite": ["loss"]}


def test_each_line_is_in_the_file_at_once(tmp_path):
    code = """
import os, signal, sys
from pathlib import Path
from loretta_framework.train.metrics import MetricsWriter
writer = MetricsWriter(Path(sys.argv[1]))
writer.write({"step": 1.0, "loss": 0.5})
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "metrics.jsonl")])
    assert done.returncode == -9
    assert lines(tmp_path / "metrics.jsonl") == [{"step": 1, "loss": 0.5}]


@pytest.mark.parametrize("torn", [b"", b"\n", b'{"step": 8', b'{"step": 3}', b"\xff\xfe"])
def test_a_resumed_file_equals_an_uninterrupted_one(tmp_path, torn):
    whole, resumed = tmp_path / "whole.jsonl", tmp_path / "resumed.jsonl"
    write_steps(whole, 1, 11)
    write_steps(resumed, 1, 8)
    with open(resumed, "ab") as file:
        file.write(torn)
    with MetricsWriter(resumed) as writer:
        writer.truncate_after(5)
    write_steps(resumed, 6, 11)
    assert resumed.read_bytes() == whole.read_bytes()


def test_a_torn_line_right_after_the_checkpoint_is_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write_steps(path, 1, 4)
    kept = path.read_bytes()
    path.write_bytes(kept + b'{"step": 4, "lo')
    with MetricsWriter(path) as writer:
        writer.truncate_after(3)
        writer.sync()
    assert path.read_bytes() == kept


def test_truncating_to_the_start_or_beyond_the_end(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write_steps(path, 1, 4)
    with MetricsWriter(path) as writer:
        writer.truncate_after(9)
        assert len(lines(path)) == 3
        writer.truncate_after(0)
        assert lines(path) == []
        writer.write({"step": 1.0, "loss": 2.0})
    assert lines(path) == [{"step": 1, "loss": 2.0}]


@pytest.mark.parametrize("line", ["{}", "[1]", "null", '{"step": null}', "loss 3"])
def test_a_strange_line_is_named_with_its_number(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n' + line + "\n" + '{"step": 2}\n')
    writer = MetricsWriter(path)
    with pytest.raises(RunDirectoryError, match=r"metrics\.jsonl:2: .* object with a step"):
        writer.truncate_after(5)


def test_a_path_that_cannot_be_written_is_the_users_mistake(tmp_path):
    with pytest.raises(RunDirectoryError, match="metrics cannot be written: Is a directory"):
        MetricsWriter(tmp_path)
