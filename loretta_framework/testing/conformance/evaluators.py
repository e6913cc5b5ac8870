"""Checks that concern evaluators."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loretta_framework.testing.conformance.checks import check, require
from loretta_framework.testing.conformance.modalities import refusal
from loretta_framework.testing.conformance.sameness import shown
from loretta_framework.testing.conformance.subject import Subject
from loretta_framework.testing.conformance.trained import small_context


@dataclass(frozen=True, slots=True)
class _Judgement:
    """What an evaluator said of a small untrained model, and what it did to it."""

    findings: Any
    done: list[str]


def _judged(subject: Subject) -> _Judgement:
    """Asked once for all checks, since it may take a second."""
    judgement: _Judgement = subject.once("judgement", lambda: _judge(subject))
    return judgement


def _judge(subject: Subject) -> _Judgement:
    import torch

    context = small_context()
    model = context.model.model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    findings = subject.build().evaluate(context)
    after = model.state_dict()
    done = [f"changed '{name}'" for name in after if not torch.equal(after[name], before[name])]
    parameters = list(model.named_parameters())
    done += [f"left a gradient at '{name}'" for name, p in parameters if p.grad is not None]
    done += ["left the model in training mode"] if model.training else []
    model.load_state_dict(before)
    model.zero_grad()
    model.eval()
    return _Judgement(findings, done)


@check("evaluator")
def returns_plain_data(subject: Subject) -> None:
    """`evaluate(context)` returns a mapping with "edges" that can be written as JSON.

    It becomes a part of `evaluation.json`. Numbers are Python's own (`float(x)`, not a tensor or a numpy
    scalar), keys are texts, and what is not finite is None beside a reason. What is no figure of an edge
    goes into a section under a key of its own.
    """
    found = _judged(subject).findings
    held = isinstance(found, Mapping) and isinstance(found.get("edges"), Mapping)
    require(held, f"it must return a mapping with 'edges', but returns {shown(found)}")
    fault = refusal(lambda: json.dumps(found, allow_nan=False))
    require(not fault, f"what it returns cannot be written: {fault}")
    equal = json.loads(json.dumps(found)) == _listed(found)
    require(equal, "what it returns differs from what is read back from JSON: are all keys texts?")


def _listed(found: Any) -> Any:
    """Tuples as the lists that JSON makes of them."""
    if isinstance(found, Mapping):
        return {key: _listed(value) for key, value in found.items()}
    return [_listed(value) for value in found] if isinstance(found, list | tuple) else found


@check("evaluator")
def judges_edges_that_exist(subject: Subject) -> None:
    """Figures belong to directed edges between the model's modalities, and each has value and interval.

    `{"edges": {"speech->image": {"accuracy": {"value": 0.7, "interval": [0.6, 0.8]}}}}`: "->image" is an
    edge without a source. A figure that cannot be told is None, with the reason under `<metric>_reason`.
    """
    modalities = set(small_context().model.modalities)
    for edge, figures in _judged(subject).findings["edges"].items():
        source, arrow, target = str(edge).partition("->")
        sources = set(filter(None, source.split("+")))
        known = bool(arrow) and {target, *sources} <= modalities
        require(known, f"there is no edge '{edge}' between {', '.join(sorted(modalities))}")
        for metric, figure in figures.items():
            if metric.endswith("_reason"):
                continue
            whole = isinstance(figure, Mapping) and {"value", "interval"} <= set(figure)
            reasoned = figure is None and f"{metric}_reason" in figures
            require(whole or reasoned, f"'{metric}' of {edge} is {shown(figure)}")


@check("evaluator")
def leaves_the_model_alone(subject: Subject) -> None:
    """Judging changes nothing of the model: no weight, no mode, no gradient.

    Evaluators work one after another on one model. Compute under `torch.inference_mode()`; a copy that is
    to be trained is a copy; what is switched to training is switched back.
    """
    done = _judged(subject).done
    require(not done, f"it {', '.join(done[:5])}")
