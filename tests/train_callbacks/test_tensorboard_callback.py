"""TensorBoard: every metric under its name, also after a kill and a resume."""

import sys
from types import SimpleNamespace

import pytest

from loretta_framework.api.errors import EXIT_USER, MissingDependencyError
from loretta_framework.api.protocols import Callback
from loretta_framework.train.callbacks.settings import TensorboardSettings
from loretta_framework.train.callbacks.tensorboard import Tensorboard


def curves(directory):
    loading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = loading.EventAccumulator(str(directory))
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def watch(directory, first, last, steps, value, every=1, end=True):
    callback = Tensorboard(TensorboardSettings(every_steps=every), None)
    assert isinstance(callback, Callback)
    run = SimpleNamespace(directory=directory, plan=None, step=first, steps=steps)
    callback.on_start(run)
    for step in range(first + 1, last + 1):
        run.step = step
        metrics = {"step": float(step), "loss": value, "loss/image->text": 0.5, "loss/->image": 1}
        callback.on_step(run, metrics)
    callback.on_end(run)
    callback.on_end(run)  # twice: a run that stops early must not fail here


def test_every_metric_is_a_curve_under_its_name(tmp_path):
    watch(tmp_path, 0, 3, 3, 2.0)
    assert curves(tmp_path) == {
        "loss": [(1, 2.0), (2, 2.0), (3, 2.0)],
        "loss/image->text": [(1, 0.5), (2, 0.5), (3, 0.5)],
        "loss/->image": [(1, 1.0), (2, 1.0), (3, 1.0)],
    }


def test_points_are_thinned_but_the_last_step_is_kept(tmp_path):
    watch(tmp_path, 0, 7, 7, 2.0, every=3)
    assert [step for step, _ in curves(tmp_path)["loss"]] == [3, 6, 7]


def test_points_after_the_checkpoint_are_replaced_on_resume(tmp_path):
    watch(tmp_path, 0, 5, 8, 2.0)  # killed after 5, checkpoint at 3
    watch(tmp_path, 3, 8, 8, 9.0)
    expected = [(step, 2.0 if step <= 3 else 9.0) for step in range(1, 9)]
    assert curves(tmp_path)["loss"] == expected


def test_a_missing_package_names_the_install_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    callback = Tensorboard(TensorboardSettings(), None)
    run = SimpleNamespace(directory=tmp_path, plan=None, step=0, steps=1)
    with pytest.raises(MissingDependencyError) as error:
        callback.on_start(run)
    assert "pip install 'loretta-framework[tracking]'" in str(error.value)
    assert error.value.exit_code == EXIT_USER
    callback.on_end(run)
