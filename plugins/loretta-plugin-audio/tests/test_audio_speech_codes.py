"""The gate on speech codes: real recorded digits stay what they are after encoding and decoding."""

from __future__ import annotations

import io
import os
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loretta_plugin_audio.mel_codes import MelCodes
from loretta_plugin_audio.mfcc_bytes import MfccBytes
from loretta_plugin_audio.mulaw import Mulaw
from loretta_plugin_audio.settings import MelCodesSettings, MfccBytesSettings, MulawSettings

from loretta_framework.testing.results import keep_result

FSDD = Path(os.environ.get("LORETTA_TEST_DATA", "absent")) / "fsdd" / "fsdd_4speakers.tar"
DATA = "FSDD, 4 speakers, 2000 recordings"
GATE = 0.9
JUDGES = 3


def soak(test: Any) -> Any:
    absent = pytest.mark.skipif(not FSDD.is_file(), reason="LORETTA_TEST_DATA has no fsdd")
    return pytest.mark.soak(absent(test))


def recordings() -> list[tuple[int, str, int, bytes]]:
    """(digit, speaker, number, file) of each."""
    found = []
    with tarfile.open(FSDD) as tar:
        for member in tar:
            name = re.search(r"(\d)_(\w+)_(\d+)\.wav$", member.name)
            file = tar.extractfile(member)
            if name and file:
                found.append((int(name[1]), name[2], int(name[3]), file.read()))
    assert len(found) == 2000
    return found


class Judges:
    """Small networks trained on real recordings. `component` hears for them, as the plugin does."""

    def __init__(self, component: Any, train: list[Any], test: list[Any]) -> None:
        networks = pytest.importorskip("sklearn.neural_network")
        scaling = pytest.importorskip("sklearn.preprocessing")
        self.known = [component.read(data, "wav") for *_, data in train]
        self.asked = [component.read(data, "wav") for *_, data in test]
        self._right = [digit for digit, *_ in test]
        if isinstance(component, MfccBytes):  # it hears over the ranges that it learned
            component.fit(self.known, 0)
        heard = self._heard(component, self.known)
        self._scale = scaling.StandardScaler().fit(heard)
        self._networks = [
            networks.MLPClassifier((128,), max_iter=60, alpha=0.01, random_state=seed).fit(
                self._scale.transform(heard), [digit for digit, *_ in train]
            )
            for seed in range(JUDGES)
        ]
        self.real = self._accuracy(component, self.asked)

    def verdict(self, component: Any, seed: int) -> dict[str, float]:
        """The component, fitted on what they know, on what they are asked."""
        figures = dict(component.fit(self.known, seed)) if hasattr(component, "fit") else {}
        ids = [component.encode(value) for value in self.asked]
        restored = self._accuracy(component, [component.decode(found) for found in ids])
        return {
            "real": round(self.real, 4),
            "restored": round(restored, 4),
            "kept": round(restored / self.real, 4),
            "median_tokens": float(np.median([len(found) for found in ids])),
            **{key: round(figure, 4) for key, figure in figures.items()},
        }

    def _accuracy(self, component: Any, values: list[Any]) -> float:
        heard = self._scale.transform(self._heard(component, values))
        return float(np.mean([network.score(heard, self._right) for network in self._networks]))

    def _heard(self, component: Any, values: list[Any]) -> np.ndarray:
        return np.stack([component.features(value).ravel() for value in values])


COMPONENTS: dict[str, Callable[[], Any]] = {
    "mel_codes, 128 codes": lambda: MelCodes(MelCodesSettings()),
    "mel_codes, 256 codes": lambda: MelCodes(MelCodesSettings(codebook_size=256)),
    "mulaw": lambda: Mulaw(MulawSettings(max_tokens=12_000)),
    "mfcc_bytes": lambda: MfccBytes(
        MfccBytesSettings(sample_rate=8000, too_long="crop", level=0.1, trim_db=40.0)
    ),
}
MEL = ("mel_codes, 128 codes", "mel_codes, 256 codes")


def split() -> tuple[list[Any], list[Any]]:
    """The data set's own: recordings 0-4 of each digit and speaker are tested."""
    found = recordings()
    return [row for row in found if row[2] >= 5], [row for row in found if row[2] < 5]


@soak
def test_spoken_digits_keep_nine_tenths_of_a_judges_accuracy() -> None:
    """256 codes, mean of three fits. 128 codes, the default, are measured beside: they keep less."""
    judges = Judges(COMPONENTS[MEL[0]](), *split())
    fits = {name: [judges.verdict(COMPONENTS[name](), seed) for seed in range(3)] for name in MEL}
    kept = {name: round(float(np.mean([f["kept"] for f in fits[name]])), 4) for name in MEL}
    keep_result(
        "speech-codes",
        {"data": DATA, "kept": kept, "fits": fits},
        distribution="loretta-plugin-audio",
    )
    assert judges.real >= 0.9
    assert kept["mel_codes, 256 codes"] >= GATE, kept


@soak
@pytest.mark.parametrize("name", ["mulaw", "mfcc_bytes"])
def test_what_is_not_compressed_keeps_all(name: str) -> None:
    judges = Judges(COMPONENTS[name](), *split())
    figures = judges.verdict(COMPONENTS[name](), 0)
    keep_result(
        f"speech-codes-{name}", {"data": DATA, **figures}, distribution="loretta-plugin-audio"
    )
    assert judges.real >= 0.9
    assert figures["kept"] >= 0.97, figures


@soak
@pytest.mark.parametrize("speaker", ["jackson", "lucas", "nicolas", "yweweler"])
def test_a_speaker_whom_nobody_heard(speaker: str) -> None:
    """Kept from codes and judges. No gate: the judges themselves, who know three voices, get half
    to four fifths of the fourth right."""
    found = recordings()
    train, test = [[row for row in found if (row[1] == speaker) == at] for at in (False, True)]
    judges = Judges(COMPONENTS[MEL[0]](), train, test)
    figures = {name: judges.verdict(COMPONENTS[name](), 0) for name in MEL}
    keep_result(
        f"speech-codes-without-{speaker}",
        {"data": DATA, "fits": figures},
        distribution="loretta-plugin-audio",
    )
    assert figures[MEL[1]]["restored"] > 0.3, figures  # chance is 0.1


@pytest.mark.skipif(not FSDD.is_file(), reason="LORETTA_TEST_DATA has no fsdd")
def test_a_recording_of_every_kind_is_encoded() -> None:
    """Every twentieth recording goes through each component and comes back as a value."""
    sampled = recordings()[::20]
    for build in COMPONENTS.values():
        component = build()
        values = [component.read(data, "wav") for *_, data in sampled]
        if hasattr(component, "fit"):
            component.fit(values, 0)
        for value in values[::5]:
            back = component.decode(component.encode(value))
            assert component.checked(back) is back
            data, extension = component.write(back)
            assert component.read(io.BytesIO(data).getvalue(), extension) is not None
