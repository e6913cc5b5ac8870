"""Progress: lines in a log, a bar on a terminal, nothing on standard output."""

import io
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from pydantic import ValidationError
from rich.console import Console

from loretta_framework.api.protocols import Callback
from loretta_framework.train.callbacks.progress import Progress
from loretta_framework.train.callbacks.settings import ProgressSettings, TensorboardSettings


def watch(callback, tmp_path, first, last, steps, loss=2.5):
    run = SimpleNamespace(directory=tmp_path, plan=None, step=first, steps=steps)
    callback.on_start(run)
    for step in range(first + 1, last + 1):
        run.step = step
        callback.on_step(run, {"step": float(step), "loss": loss, "tokens_per_second": 12345.6})
    callback.on_end(run)


def test_a_log_gets_a_line_every_so_many_steps_and_at_the_end(tmp_path, capsys):
    callback = Progress(ProgressSettings(every_steps=4), None)
    assert isinstance(callback, Callback)
    watch(callback, tmp_path, 0, 10, 10)
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert [line.split()[1] for line in lines] == ["4/10", "8/10", "10/10"]
    assert re.fullmatch(r"step 10/10  loss 2\.5000  12,346 tokens/s  0:00:00 left", lines[-1]), (
        lines[-1]
    )
    assert "\x1b" not in captured.err


def test_the_time_that_remains_follows_this_processes_own_pace(tmp_path, monkeypatch, capsys):
    clock = iter([100.0, 140.0])  # 2 steps in 40 s; 6 remain
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    watch(Progress(ProgressSettings(every_steps=2), None), tmp_path, 500, 502, 508)
    assert "step 502/508" in (err := capsys.readouterr().err)
    assert "0:02:00 left" in err


def test_a_loss_that_is_no_number_is_shown(tmp_path, capsys):
    watch(Progress(ProgressSettings(every_steps=1), None), tmp_path, 0, 1, 2, float("nan"))
    assert "loss nan" in capsys.readouterr().err


def test_a_terminal_gets_a_bar_with_the_figures(tmp_path):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, color_system=None)
    watch(Progress(ProgressSettings(), None, console=console), tmp_path, 3, 8, 10)
    text = screen.getvalue()
    assert "8/10" in text
    assert "loss 2.5000" in text
    assert "12,346 tokens/s" in text
    assert "\x1b[?25h" in text  # the cursor is given back


@pytest.mark.parametrize("settings", [ProgressSettings, TensorboardSettings])
@pytest.mark.parametrize("bad", [{"every_steps": 0}, {"every_steps": 1.5}, {"every": 1}])
def test_settings_are_strict(settings, bad):
    with pytest.raises(ValidationError):
        settings(**bad)


def test_settings_and_progress_need_no_torch():
    code = (
        "import sys; import loretta_framework.train.callbacks.settings; "
        "import loretta_framework.train.callbacks.progress; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
