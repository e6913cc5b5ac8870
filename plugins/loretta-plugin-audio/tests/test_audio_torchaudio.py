"""The same figures as torchaudio, and the same plugin without it. In child processes: importing it
changes what other packages do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXTRAS = Path(os.environ.get("LORETTA_EXTRAS", Path(__file__).parents[3] / ".extras"))

SETUP = """
import numpy as np
import torch
from loretta_framework.api import import_guarded
transforms = import_guarded("torchaudio.transforms", "pip install torchaudio")
from loretta_plugin_audio.settings import *
noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
noise[4000:8000] = 0
"""

MULAW = """
from loretta_plugin_audio.mulaw import Mulaw
wave = (np.arange(65_536) - 32_768).astype(np.float32) / np.float32(32_768)  # all 16-bit samples
for levels in (2, 16, 256, 1024, 65_536):
    built = Mulaw(MulawSettings(levels=levels, max_tokens=65_536))
    ids = built.encode(wave)
    expected = transforms.MuLawEncoding(levels)(torch.from_numpy(wave).double())
    assert np.array_equal(ids, expected.numpy()), levels
    single = transforms.MuLawEncoding(levels)(torch.from_numpy(wave)).numpy()
    assert np.abs(ids - single).max() <= 1, levels  # float32 logarithms
    assert levels > 256 or np.array_equal(ids, single), levels
    back = transforms.MuLawDecoding(levels)(torch.arange(levels)).numpy()
    assert np.abs(built.decode(np.arange(levels)) - back).max() < 2e-6, levels
"""

MFCC = """
from loretta_plugin_audio.mfcc_bytes import MfccBytes
for rate, bands, coefficients in ((16_000, 26, 13), (8000, 26, 13), (16_000, 40, 20)):
    fields = {"sample_rate": rate, "n_mels": bands, "coefficients": coefficients}
    chosen = MfccBytesSettings(energy=False, **fields)
    melkwargs = {
        "n_fft": chosen.window, "win_length": chosen.window, "hop_length": chosen.hop,
        "n_mels": bands, "center": False,
    }
    peer = transforms.MFCC(rate, coefficients, log_mels=True, melkwargs=melkwargs)
    expected = peer(torch.from_numpy(noise[:rate])).T.numpy()
    found = MfccBytes(chosen).parse(noise[:rate])
    assert found.shape == expected.shape == (39, coefficients)
    assert np.abs(found - expected).max() < 2e-4  # of values up to 90: float32 against float64
    with_energy = MfccBytes(MfccBytesSettings(**fields)).parse(noise[:rate])
    assert np.array_equal(with_energy[:, 1:], found[:, 1:])
"""

MEL = """
from loretta_plugin_audio.spectrogram import Spectrogram
chosen = MelCodesSettings()
peer = transforms.MelSpectrogram(8000, 512, 256, 128, n_mels=32, center=False)
wave = noise[: 128 * 40]
padded = torch.from_numpy(np.pad(wave, 64 + 128))  # torch centres its window in 512 points
expected = torch.log(peer(padded)).T.numpy()
found = Spectrogram(chosen).log_mel(wave)
assert found.shape == expected.shape == (40, 32)
loud = expected > Spectrogram(chosen).silence
assert loud.any() and not loud.all()
assert np.abs(found - expected)[loud].max() < 1e-3
"""

WITHOUT = """
import importlib.util, sys
import numpy as np
sys.modules["torchaudio"] = None  # an import of it fails, also where it is installed
from loretta_framework.api import MissingDependencyError, import_guarded
try:
    import_guarded("torchaudio.transforms", "pip install 'loretta-plugin-audio[torchaudio]'")
except MissingDependencyError as error:
    assert "loretta-plugin-audio[torchaudio]" in str(error), error
else:
    raise AssertionError("it was imported")
torch = sys.modules.pop("torch", None)
from loretta_plugin_audio.mel_codes import MelCodes
from loretta_plugin_audio.mfcc_bytes import MfccBytes
from loretta_plugin_audio.mulaw import Mulaw
from loretta_plugin_audio.settings import *
sound = np.random.default_rng(0).normal(0, 0.1, 8000).clip(-1, 1).astype(np.float32)
for built in (MelCodes(MelCodesSettings(codebook_size=8)), MfccBytes(MfccBytesSettings()),
              Mulaw(MulawSettings())):
    value = built.parse((sound, 8000))
    if hasattr(built, "fit"):
        built.fit([value], 0)
    built.show(built.decode(built.encode(value)))
    assert built.features(value).dtype == np.float32
assert "torch" not in sys.modules
"""


def run(code: str, folder: Path | None) -> None:
    """Run it in a child that finds the packages of `folder` too."""
    paths = [str(folder)] if folder else []
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.skipif(not (EXTRAS / "torchaudio").is_dir(), reason="LORETTA_EXTRAS has no torchaudio")
def test_the_figures_are_those_of_torchaudio() -> None:
    run(SETUP + MULAW + MFCC + MEL, EXTRAS)


def test_nothing_needs_torchaudio() -> None:
    run(WITHOUT, None)
