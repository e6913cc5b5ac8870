"""Backbones that mix all positions in one transform: rounding is allowed, leaks are not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from twins_backbones import backbone

from loretta_framework.testing.conformance.running import SLOW, CheckResult, checks_of, run_check
from loretta_framework.testing.conformance.subject import Subject


def fft(kind: str, *, exact: bool) -> Subject:
    subject = backbone("Sound", cache="none", exact=exact)
    spec = replace(subject.spec, factory=f"fft_backbones:build_{kind}")
    return replace(subject, spec=spec)


def outcomes(subject: Subject, *names: str) -> dict[str, CheckResult]:
    """Of the checks of backbones, or of those named."""
    chosen = [check for check in checks_of(subject) if check.id.startswith("backbone.")]
    parts = {check.id.removeprefix("backbone."): check for check in chosen if check.id not in SLOW}
    return {name: run_check(subject, parts[name]) for name in names or parts}


def test_a_sound_fft_passes_all_checks() -> None:
    results = outcomes(fft("Sound", exact=False))
    assert len(results) > 15
    assert [str(result) for result in results.values() if result.failed] == []
    assert results["packed_documents_do_not_see_each_other"].outcome == "passed"


@pytest.mark.parametrize("name", ["is_causal", "padding_changes_nothing"])
def test_it_is_not_exact(name: str) -> None:
    result = outcomes(fft("Sound", exact=True), name)[name]
    assert result.failed
    assert "they must be equal bit for bit" in result.detail


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("WrapsAround", "is_causal"),
        ("WrapsAround", "padding_changes_nothing"),
        ("LeaksALittle", "is_causal"),
        ("LeaksBehindTheNorm", "is_causal"),
        ("IgnoresDocuments", "packed_documents_do_not_see_each_other"),
    ],
)
def test_its_leaks_are_seen(kind: str, name: str) -> None:
    result = outcomes(fft(kind, exact=False), name)[name]
    assert result.failed, str(result)
    assert "is the bound" in result.detail


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ("IgnoresDocuments", "packed_documents_do_not_see_each_other"),
        ("CountsPadding", "padding_changes_nothing"),
        ("CachesPadding", "padding_leaves_the_cache_alone"),
    ],
)
def test_leaks_of_attention_are_seen_without_exactness(fault: str, name: str) -> None:
    result = outcomes(backbone(fault, exact=False), name)[name]
    assert result.failed, str(result)


def test_an_exact_backbone_may_declare_less() -> None:
    names = ("is_causal", "padding_changes_nothing", "padding_leaves_the_cache_alone")
    results = outcomes(backbone("Sound", exact=False), *names)
    assert [result.outcome for result in results.values()] == ["passed"] * 3
