"""Before the first step all ranks must have the same plugins, versions and Plan.

A rank with another version would compute other numbers, or wait for ever in a collective that the
others never enter. Comparing costs one collective of 32 bytes.

R ranks, N bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from loretta_framework.api.errors import TrainingError
from loretta_framework.api.version import API_MIN, API_VERSION
from loretta_framework.recipe.plan import Plan
from loretta_framework.train.distributed import World

_SHOWN = 12
"""Digits of a digest in a message."""


def require_agreement(world: World, plan: Plan) -> None:
    """Compare this rank's plugins, versions and Plan with those of all others.

    Every rank must call it, before any other collective of the run.

    Raises:
        TrainingError: on every rank, with what differs and on which ranks.
    """
    own = json.dumps(rank_facts(plan), sort_keys=True).encode()
    digests = _gathered(world, sha256(own).digest())
    if len(set(digests)) == 1:
        return
    lengths = _gathered(world, len(own).to_bytes(8, "big"))
    longest = max(int.from_bytes(length, "big") for length in lengths)
    # JSON of spaces at the end is the same JSON; a tensor must have one length on all ranks.
    every = _gathered(world, own.ljust(longest))
    differences = _differences([json.loads(data) for data in every])
    raise TrainingError(
        "the ranks do not agree on what to run:\n" + "\n".join(differences),
        where=f"rank {world.rank} of {world.size}",
        fix="install the same versions on all machines, and start all ranks with the same recipe, "
        "data and overrides",
    )


def rank_facts(plan: Plan) -> dict[str, str]:
    """All that must be equal on every rank, as readable lines: what -> value."""
    facts = {f"version of {name}": value for name, value in plan.versions.items()}
    facts["plugin API"] = f"{API_MIN}..{API_VERSION}"
    for plugin in plan.plugins:
        kinds = ", ".join(f"{kind} version {n}" for kind, n in sorted(plugin.components.items()))
        facts[f"plugin {plugin.name}"] = f"{plugin.distribution} {plugin.version} with {kinds}"
        facts[f"files of {plugin.distribution}"] = plugin.record[:_SHOWN] or "not recorded"
    data = plan.to_json()
    for key in ("reasons", "versions", "plugins"):
        del data[key]
    for item in data["sets"]:
        del item["shards"]  # where they lie on this machine; their contents are in `digest`
    return facts | dict(_leaves("plan: ", data))


def _leaves(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every setting by its path; an item of a list by its name, or else by its number."""
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _leaves(f"{key}{name}.", part)
    elif isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        for number, part in enumerate(value):
            names = [part[name] for name in ("split", "name", "modality") if name in part]
            yield from _leaves(f"{key}{'.'.join(names) or number}.", part)
    else:
        yield key.removesuffix("."), _brief(value)


def _brief(value: Any) -> str:
    """The value itself where it is short, else its digest."""
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 40 else f"digest {sha256(text.encode()).hexdigest()[:_SHOWN]}"


def _differences(facts: list[Mapping[str, str]]) -> list[str]:
    lines = []
    for key in sorted({key for own in facts for key in own}):
        ranks: dict[str, list[int]] = {}
        for rank, own in enumerate(facts):
            ranks.setdefault(own.get(key, "absent"), []).append(rank)
        if len(ranks) > 1:
            parts = [f"{value} on {_named(listed)}" for value, listed in ranks.items()]
            lines.append(f"  {key}: {'; '.join(parts)}")
    return lines


def _named(ranks: list[int]) -> str:
    shown = ", ".join(map(str, ranks[:8])) + (f" and {len(ranks) - 8} more" if ranks[8:] else "")
    return f"rank{'s' if len(ranks) > 1 else ''} {shown}"


def _gathered(world: World, data: bytes) -> list[bytes]:
    """The same number of bytes of every rank, in rank order. Bytes, never pickled objects."""
    own_N = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    if world.size == 1:
        every_RN = [own_N]
    else:
        nccl = torch.distributed.get_backend() == "nccl"
        own_N = own_N.to(torch.device("cuda", torch.cuda.current_device()) if nccl else "cpu")
        every_RN = [torch.empty_like(own_N) for _ in range(world.size)]
        torch.distributed.all_gather(every_RN, own_N)
    return [_as_bytes(part_N) for part_N in every_RN]


def _as_bytes(part_N: Tensor) -> bytes:
    return part_N.cpu().numpy().tobytes()
