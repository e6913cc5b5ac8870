"""Checks that concern backbones: decoding with a cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from loretta_framework.api.layout import PADDING, SequenceLayout
from loretta_framework.testing.conformance.backbone_rows import (
    Rows,
    capabilities,
    change,
    documents,
    require_close,
    require_unmoved,
    run,
    stirred,
)
from loretta_framework.testing.conformance.checks import NotApplicable, check, require
from loretta_framework.testing.conformance.subject import Subject

PROMPTS = (1, 7, 4)
"""Tokens of the prompts that the ragged checks start with."""

STEPS = 4
"""Tokens that follow each prompt, one at a time."""


def extend(
    backbone: Any,
    cache: Any,
    parts: Sequence[Tensor],
    starts: Sequence[int],
    *,
    tokens: int = 0,
    padding: float = 0.0,
) -> list[Tensor]:
    """Append a part (T, D) to each row of the cache; the outputs of each, (T, D).

    Args:
        backbone: whose cache it is.
        cache: extended in place.
        parts: one for each row; may be empty, then the row is all padding.
        starts: tokens that each row has already.
        tokens: width of the chunk, by default that of the longest part.
        padding: size of the random numbers that fill the rest.
    """
    lengths = [len(part) for part in parts]
    shape = (len(parts), max(tokens, *lengths))
    documents_BT = torch.full(shape, PADDING)
    positions_BT = torch.zeros(shape, dtype=torch.int64)
    for row, (length, start) in enumerate(zip(lengths, starts, strict=True)):
        documents_BT[row, :length] = row
        positions_BT[row, :length] = start + torch.arange(length)
    ends = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    layout = SequenceLayout(documents_BT, positions_BT, ends, max(lengths), packed=False)
    places = tuple((row, 0, length) for row, length in enumerate(lengths))
    rows = Rows(layout, places)
    with torch.no_grad():
        return rows.split(backbone.extend(rows.fill(parts, padding), layout, cache))


@check("backbone")
def cached_equals_full(subject: Subject) -> None:
    """Outputs are the same whether tokens come at once, one by one, or in chunks of any size.

    `extend` must do for each token what `__call__` does, with all earlier tokens of the row in the
    cache: rotary angles from `layout.positions_BT` and not from 0, the last inputs of a convolution
    kept, the state handed on. A chunk may begin anywhere, also on an empty cache.
    """
    _require_cache(subject)
    backbone = stirred(subject)
    tokens = 21
    parts = documents(backbone, [tokens, tokens])
    full = run(backbone, Rows.alone([tokens] * 2), parts)
    for chunks in ([tokens], [1] * tokens, [5, 1, 15], [1, 8, 8, 4], [20, 1]):
        cache = backbone.new_cache(2, tokens)
        made: list[list[Tensor]] = [[], []]
        start = 0
        for size in chunks:
            stop = start + size
            out = extend(backbone, cache, [part[start:stop] for part in parts], [start, start])
            for row, piece in enumerate(out):
                made[row].append(piece)
            start = stop
        for row in range(2):
            what = f"row {row} in chunks of {chunks} and at once"
            require_close(torch.cat(made[row]), full[row], tokens, what)


@check("backbone")
def ragged_prompts_continue(subject: Subject) -> None:
    """Prompts of unlike lengths, padded on the right, continue as if each were alone.

    Prompts are prefilled together. After a short one the cache holds slots (or has seen steps)
    that are padding: they must be masked in later calls, and a recurrent state must be the one
    after the row's own last token, not after the chunk's.
    """
    _require_cache(subject)
    backbone = stirred(subject)
    parts, full = _ragged(backbone)
    cache = backbone.new_cache(len(PROMPTS), max(PROMPTS) + STEPS)
    prompts = [part[:length] for part, length in zip(parts, PROMPTS, strict=True)]
    made = [[out] for out in extend(backbone, cache, prompts, [0] * len(PROMPTS), padding=5.0)]
    for step in range(STEPS):
        _step(backbone, cache, parts, step, made)
    _require_all_close(made, full, "continued after a padded prompt")


@check("backbone")
def padding_leaves_the_cache_alone(subject: Subject) -> None:
    """What stands at padding, and how much of it, changes nothing that comes later in its row.

    Write nothing into the cache at padding, or mark it as empty. A recurrent state passes padding
    unchanged: decay 1 and input 0 there. A convolution keeps the last real inputs of each row. A
    row may be padding as a whole in one call and go on in the next.
    """
    _require_cache(subject)
    backbone = stirred(subject)
    parts, full = _ragged(backbone)
    prompts = [part[:length] for part, length in zip(parts, PROMPTS, strict=True)]
    outcomes = []
    size = change(subject, 5.0)
    for padding, width in ((0.0, 7), (size, 7), (size, 12)):
        cache = backbone.new_cache(len(PROMPTS), width + 3 * STEPS)
        starts = [0] * len(PROMPTS)
        made = [
            [out] for out in extend(backbone, cache, prompts, starts, tokens=width, padding=padding)
        ]
        for step in range(STEPS):
            for going in ((0,), (1, 2)):  # the others wait: their part is empty
                _step(backbone, cache, parts, step, made, going, padding)
        _require_all_close(made, full, f"continued after a chunk of {width} tokens")
        outcomes.append([torch.cat(pieces) for pieces in made])
    for row, (clean, dirty) in enumerate(zip(outcomes[0], outcomes[1], strict=True)):
        what = f"row {row}, when what stands at padding changes"
        require_unmoved(subject, dirty, clean, dirty, what)


@check("backbone")
def cache_rows_are_selected(subject: Subject) -> None:
    """`cache.select(rows)` gives a cache of its own with those rows, which may repeat or vanish.

    Index every tensor along its batch axis, also what counts or marks slots. The cache selected
    from stays usable, and extending one must not change the other: index with a tensor, which
    copies, and not with a view.
    """
    _require_cache(subject)
    backbone = stirred(subject)
    parts, full = _ragged(backbone)
    prompts = [part[:length] for part, length in zip(parts, PROMPTS, strict=True)]
    cache = backbone.new_cache(len(PROMPTS), max(PROMPTS) + STEPS + 1)
    made = [[out] for out in extend(backbone, cache, prompts, [0] * len(PROMPTS), padding=5.0)]
    order = [2, 0, 2]
    chosen = cache.select(torch.tensor(order))
    others = documents(backbone, [STEPS] * len(order), seed=7)
    branches = [torch.cat([prompts[n], other]) for n, other in zip(order, others, strict=True)]
    wanted = run(backbone, Rows.alone([len(branch) for branch in branches]), branches)
    branched: list[list[Tensor]] = [[made[n][0]] for n in order]
    for step in range(STEPS):
        starts = [PROMPTS[n] + step for n in order]
        out = extend(backbone, chosen, [other[step : step + 1] for other in others], starts)
        for row, piece in enumerate(out):
            branched[row].append(piece)
        _step(backbone, cache, parts, step, made)
    _require_all_close(branched, wanted, "of a selected cache")
    _require_all_close(made, full, "of the cache that was selected from")
    last = chosen.select(torch.tensor([1]))
    (out_1,) = extend(backbone, last, [others[0][:1]], [PROMPTS[0] + STEPS])
    longer = torch.cat([branches[1], others[0][:1]])
    (wanted_1,) = run(backbone, Rows.alone([len(longer)]), [longer])
    require_close(out_1, wanted_1[-1:], len(longer), "a single row selected from a selection")


@check("backbone")
def cache_size_is_as_declared(subject: Subject) -> None:
    """A cache declared "constant" has one size whatever it holds; a "growing" one has more for more.

    Set `BackboneCapabilities(cache=...)` to what is true: users choose by it, and memory is planned
    by it. "constant" is for recurrent state; keys and values of a bounded window are constant too.
    "growing" caches may take all their room at the start.
    """
    _require_cache(subject)
    backbone = stirred(subject)
    sizes = []
    for tokens in (4, 32):
        (part,) = documents(backbone, [tokens])
        cache = backbone.new_cache(1, tokens)
        at_start = cache_bytes(cache)
        extend(backbone, cache, [part[:1]], [0])
        extend(backbone, cache, [part[1:]], [1])
        sizes.append((at_start, cache_bytes(cache)))
    (_, small), (empty, large) = sizes
    kind = capabilities(subject).cache
    require(small > 0, "no tensor was found in the cache")
    if kind == "constant":
        constant = small == large == empty
        text = f"{empty} bytes when empty, {small} after 4 tokens, {large} after 32"
        require(constant, f"it declares a constant cache, but that has {text}")
    else:
        text = f"it declares a growing cache, but that has {small} bytes for 4 tokens and for 32"
        require(small < large, text)


def cache_bytes(cache: Any) -> int:
    """Bytes of all tensors that hang on an object, each storage counted once."""
    found: dict[int, int] = {}
    seen: set[int] = set()
    waiting = [cache]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Tensor):
            storage = item.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes()
        elif isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list | tuple | set):
            waiting += item
        elif not isinstance(item, torch.nn.Module):
            waiting += getattr(item, "__dict__", {}).values()
            slots = [name for kind in type(item).__mro__ for name in getattr(kind, "__slots__", ())]
            waiting += [getattr(item, name) for name in slots if hasattr(item, name)]
    return sum(found.values())


def _require_cache(subject: Subject) -> None:
    if capabilities(subject).cache == "none":
        raise NotApplicable('it declares that it has no cache (cache="none")')


def _ragged(backbone: Any) -> tuple[list[Tensor], list[Tensor]]:
    """Rows of prompt and continuation, and their outputs when computed at once."""
    lengths = [prompt + STEPS for prompt in PROMPTS]
    parts = documents(backbone, lengths)
    return parts, run(backbone, Rows.alone(lengths), parts)


def _step(
    backbone: Any,
    cache: Any,
    parts: Sequence[Tensor],
    step: int,
    made: list[list[Tensor]],
    going: Sequence[int] = (0, 1, 2),
    padding: float = 0.0,
) -> None:
    """Append token `step` after the prompt to the rows that go on; the others get padding."""
    starts = [prompt + step for prompt in PROMPTS]
    tokens = [
        part[start : start + (row in going)]
        for row, (part, start) in enumerate(zip(parts, starts, strict=True))
    ]
    for row, out in enumerate(extend(backbone, cache, tokens, starts, padding=padding)):
        made[row].append(out)


def _require_all_close(
    made: Sequence[Sequence[Tensor]], wanted: Sequence[Tensor], what: str
) -> None:
    for row, (pieces, full) in enumerate(zip(made, wanted, strict=True)):
        require_close(torch.cat(list(pieces)), full, len(full), f"row {row} {what}")
