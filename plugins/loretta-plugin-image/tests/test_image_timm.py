"""`image.timm` without timm, and, in another process, with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from loretta_plugin_image.encoder.modality import TimmImages
from loretta_plugin_image.encoder.settings import TimmSettings
from pydantic import ValidationError

from loretta_framework.api import Encoder, MissingDependencyError

EXTRAS = Path(os.environ.get("LORETTA_EXTRAS") or Path(__file__).parents[3] / ".extras")


def settings(**changes: object) -> TimmSettings:
    small = {"height": 32, "width": 48, "model": "test_vit", "tokens": 6}
    return TimmSettings(**{**small, **changes})


@pytest.mark.skipif(
    not (EXTRAS / "timm").is_dir(),
    reason="LORETTA_EXTRAS names no folder that holds torchvision and timm",
)
def test_all_that_needs_timm() -> None:
    """The tests of `inside_timm.py`; torchvision there may be built for another torch."""
    paths = [str(EXTRAS), *filter(None, [os.environ.get("PYTHONPATH")])]
    command = [sys.executable, "-W", "ignore", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, str(Path(__file__).with_name("inside_timm.py"))],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_timm_images_are_read_and_only_the_network_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    built = TimmImages(settings())
    assert isinstance(built, Encoder)
    value = built.parse(np.full((64, 64), 51, np.uint8))  # grey, another size
    features = built.preprocess(value)
    assert (features.shape, features.dtype) == ((3, 32, 48), np.float32)
    assert np.allclose(features, 0.2, atol=1e-6)
    assert features.flags.c_contiguous
    with pytest.raises(MissingDependencyError) as raised:
        built.network()
    assert "'timm' " in str(raised.value)
    assert str(raised.value).endswith("-> pip install 'loretta-plugin-image[timm]'")


def test_features_are_the_pixels_channels_first() -> None:
    value = np.random.default_rng(0).random((32, 48, 3), np.float32)
    assert np.array_equal(TimmImages(settings()).preprocess(value), value.transpose(2, 0, 1))
    with pytest.raises(ValueError, match=r"must be float32 \(32, 48, 3\)"):
        TimmImages(settings()).preprocess(value[:-1])


def test_bounds_are_the_vectors() -> None:
    assert settings().bounds().max_tokens == settings().bounds().min_tokens == 6
    assert settings().bounds().vocab_size == 0
    assert settings(vectors="pooled", tokens=None).bounds().max_tokens == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": None}, "tokens must be given with vectors: patches, but is not"),
        ({"vectors": "pooled"}, "tokens must be 1 with vectors: pooled, but is 6"),
        ({"mean": (0.5,)}, "mean must have a number for each of 3 channels, but has 1"),
        ({"std": (0.5, 1.0)}, "std must have a number for each of 3 channels, but has 2"),
        ({"std": (0.5, 1.0, 0.0)}, "greater than 0"),
        ({"model": "hf-hub:timm/vit"}, "should match pattern"),
        ({"model": "local-dir:/tmp/x"}, "should match pattern"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(**changes)
