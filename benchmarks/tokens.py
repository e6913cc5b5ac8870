"""The tokens that all contestants read, the same in every process. Numpy only.

B sequences, T tokens.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]

FIRST = 19
"""Ids below it open segments or are reserved; content counts from here in uniform sequences."""
OPEN = FIRST - 1
"""The id that opens a uniform sequence."""


def uniform(seed: int, batch: int, tokens: int, vocabulary: int) -> Iterator[Ids]:
    """(B, T + 1) batches without end: the opening id, then a noisy walk over a fixed permutation.

    Half of the steps can be predicted, so losses fall and show that all learn the same.
    """
    content = vocabulary - FIRST
    following = np.random.default_rng(12345).permutation(content)
    number = 0
    while True:
        random = np.random.default_rng([seed, number])
        noise_BT = random.integers(0, content, (batch, tokens))
        known_BT = random.random((batch, tokens)) < 0.5
        ids_BT = noise_BT.copy()
        for place in range(1, tokens):
            known = following[ids_BT[:, place - 1]]
            ids_BT[:, place] = np.where(known_BT[:, place], known, noise_BT[:, place])
        opened = np.full((batch, 1), OPEN)
        yield np.concatenate([opened, ids_BT + FIRST], axis=1).astype(np.int64)
        number += 1


def repeated(seed: int, shape: dict[str, Any]) -> Iterator[Ids]:
    """`uniform` of a shape; with "distinct", so many batches that are drawn once and come again."""
    made = uniform(seed, shape["batch"], shape["tokens"], shape["vocabulary"])
    count = shape.get("distinct")
    return made if count is None else itertools.cycle(list(itertools.islice(made, count)))


MIX = {"image": (256, 64, 256), "text": (128, 3, 128), "audio": (103, 32, 300)}
"""Ids, shortest and longest content of the modalities of the mix."""
MIX_ROW = 512
"""The longest sequence of the mix is one shorter, or this long."""

Sample = list[tuple[str, Ids]]


def mix(seed: int, count: int) -> list[Sample]:
    """Samples of one or two modalities: images of 64, 196 or 256 tokens, text, audio.

    Local ids; each modality walks its own permutation as in `uniform`.
    """
    return [_mixed(np.random.default_rng([seed, 1, number])) for number in range(count)]


def _mixed(random: np.random.Generator) -> Sample:
    names = ["image", "text", "audio"]
    chosen = [names[i] for i in random.permutation(3)[: 1 if random.random() < 0.72 else 2]]
    sample: Sample = []
    room = MIX_ROW - 4  # class and end ids of two segments
    for name in chosen:
        count = min(_length(random, name), room - sum(len(ids_T) for _, ids_T in sample))
        sample.append((name, _walk(random, name, max(count, MIX[name][1]))))
    return sample


def _length(random: np.random.Generator, name: str) -> int:
    if name == "image":
        return int(random.choice([64, 196, 256]))
    _, least, most = MIX[name]
    return int(random.integers(least, most + 1))


def _walk(random: np.random.Generator, name: str, count: int) -> Ids:
    ids = MIX[name][0]
    following = np.random.default_rng(ids).permutation(ids)
    noise_T, known_T = random.integers(0, ids, count), random.random(count) < 0.5
    walked_T = noise_T.copy()
    for place in range(1, count):
        walked_T[place] = following[walked_T[place - 1]] if known_T[place] else noise_T[place]
    return walked_T.astype(np.int64)


def mix_ids(sample: Sample) -> Ids:
    """A sample as one sequence of joint ids: per segment its class id, its content, its end id."""
    parts = []
    for name, ids_T in sample:
        start = _start(name)
        parts.append(np.concatenate([[start], ids_T + start + 2, [start + 1]]))
    return np.concatenate(parts).astype(np.int64)


def _start(name: str) -> int:
    start = OPEN
    for other, (ids, _, _) in MIX.items():
        if other == name:
            return start
        start += 2 + ids
    raise KeyError(name)


MIX_VOCABULARY = OPEN + sum(2 + ids for ids, _, _ in MIX.values())
"""Number of joint ids of the mix."""


def describe_mix(samples: list[Sample]) -> dict[str, Any]:
    """Mean length, and the part of the places that padding each to `MIX_ROW` would use."""
    lengths = [len(mix_ids(sample)) for sample in samples]
    return {
        "samples": len(samples),
        "mean_tokens": round(float(np.mean(lengths)), 1),
        "share_padded_to_row": round(float(np.mean(lengths)) / MIX_ROW, 3),
    }
