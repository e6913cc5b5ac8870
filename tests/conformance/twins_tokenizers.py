"""Tokenizers that break their contract."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sound_components as sound
from sound_plugin import broken

from loretta_framework.testing.conformance import Subject


class SmallIds(sound.Letters):
    def encode(self, value: Any) -> Any:
        return super().encode(value).astype(np.uint8)


class OneBased(sound.Letters):
    def encode(self, value: Any) -> Any:
        return super().encode(value) + 1


class EndToken(sound.Letters):
    def encode(self, value: Any) -> Any:
        return np.append(super().encode(value), 0)


class Jitter(sound.Letters):
    def encode(self, value: Any) -> Any:
        return (super().encode(value) + secrets.randbelow(13)) % 26


class Growing(sound.Letters):
    """Numbers letters as it meets them."""

    def __init__(self, settings: Any, context: Any) -> None:
        super().__init__(settings, context)
        self.known: list[str] = []

    def encode(self, value: Any) -> Any:
        self.known += [letter for letter in reversed(value) if letter not in self.known]
        return np.array([self.known.index(letter) for letter in value], np.int64)


class OffByOne(sound.Letters):
    def decode(self, ids: Any) -> Any:
        return super().decode((sound.checked_ids(ids, 26) + 1) % 26)


class Flattens(sound.Levels):
    def encode(self, value: Any) -> Any:
        return super().encode(value.reshape(-1))


class Cuts(sound.Letters):
    def encode(self, value: Any) -> Any:
        return super().encode(value[: self.settings.max_tokens])


class OnlyKnown(sound.Letters):
    def decode(self, ids: Any) -> Any:
        return self.parse("abcdefxyz"["abcdefxyz".index(super().decode(ids)[0]) :])


class FreeEnd(sound.Letters):
    def decode(self, ids: Any) -> Any:
        return super().decode(ids)[:-1] + secrets.choice("abcdefghijk")


class Doubles(sound.Levels):
    """`decode` gives float64 in a column, which `write` does not take."""

    def decode(self, ids: Any) -> Any:
        return super().decode(ids).astype(np.float64)[:, None]


class NumpyIndex(sound.Levels):
    def decode(self, ids: Any) -> Any:
        return self.fitted()[np.asarray(ids).astype(int)].astype(np.float32)


class BornFitted(sound.Levels):
    levels = np.linspace(0, 1, 8)


class FitsOnNothing(sound.Levels):
    def fit(self, values: Iterable[Any], seed: int) -> Mapping[str, float]:
        values = list(values)
        return super().fit(values or [[0.0, 1.0]], seed)


class Speechless(sound.Levels):
    def fit(self, values: Iterable[Any], seed: int) -> Mapping[str, float]:
        super().fit(values, seed)
        return {"error": float("nan")}


class GoesOn(sound.Levels):
    """A second fit starts from the first."""

    def fit(self, values: Iterable[Any], seed: int) -> Mapping[str, float]:
        before = self.levels
        figures = super().fit(values, seed)
        self.levels = self.levels if before is None else (before + self.levels) / 3
        return figures


class Hoards(sound.Levels):
    def fit(self, values: Iterable[Any], seed: int) -> Mapping[str, float]:
        self.values = values
        return super().fit(values, seed)


class Rounds(sound.Levels):
    """Saves one decimal."""

    def save(self, directory: Path) -> None:
        levels = [round(level, 1) for level in self.fitted().tolist()]
        super().save(directory)
        (directory / "levels.json").write_text(json.dumps({"levels": levels}))


class Pickles(sound.Levels):
    def save(self, directory: Path) -> None:
        super().save(directory)
        (directory / "levels.dat").write_bytes(b"\x80\x04N.")


class Trusting(sound.Levels):
    def load(self, directory: Path) -> None:
        try:
            super().load(directory)
        except ValueError:
            self.levels = np.linspace(0, 1, self.settings.levels)


TWINS: dict[str, Callable[[], Subject]] = {
    "tokenizer.ids_are_int64": broken("letters", SmallIds),
    "tokenizer.ids_in_range": broken("letters", OneBased),
    "tokenizer.length_in_bounds": broken("letters", EndToken),
    "tokenizer.encodes_the_same_again": broken("letters", Jitter),
    "tokenizer.keeps_no_memory": broken("letters", Growing),
    "tokenizer.comes_back": broken("letters", OffByOne),
    "tokenizer.refuses_other_axes": broken("levels", Flattens),
    "tokenizer.nothing_is_cut": broken("letters", Cuts),
    "tokenizer.decodes_any_ids": broken("letters", OnlyKnown),
    "tokenizer.decodes_the_same_again": broken("letters", FreeEnd),
    "tokenizer.decodes_to_values": broken("levels", Doubles),
    "tokenizer.refuses_wrong_ids": broken("levels", NumpyIndex),
    "fitted.refuses_before_the_fit": broken("levels", BornFitted),
    "fitted.refuses_to_fit_on_nothing": broken("levels", FitsOnNothing),
    "fitted.reports_its_fit": broken("levels", Speechless),
    "fitted.fits_the_same_again": broken("levels", GoesOn),
    "fitted.fits_from_any_iterable": broken("levels", Hoards),
    "fitted.state_comes_back": broken("levels", Rounds),
    "fitted.saves_only_data": broken("levels", Pickles),
    "fitted.refuses_foreign_state": broken("levels", Trusting),
}
