"""Blocks of fixed length as CUDA graphs: prompt and all positions replayed in one launch.

A graph has fixed shapes, so prompts are padded on the right to a multiple of `PROMPT_STEP` tokens and
rows are repeated up to a size of `row_sizes`. The first block of its shapes runs as it is, the second
is captured, later ones are replayed; all three compute the same shapes, so that the tokens do not
tell which it was. Everything goes through the `Backbone` protocol: whatever a backbone's `extend`
does is captured, as long as it does not wait for the device.

B samples, R rows (a variant after the other), T tokens.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from loretta_framework.api.layout import PADDING, SequenceLayout
from loretta_framework.api.protocols import IntArray
from loretta_framework.generation.block import Decoding, Draw
from loretta_framework.generation.prompts import Encoded, read
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.sequence.batch import collate
from loretta_framework.sequence.rows import TokenRow

PROMPT_STEP = 32
"""Prompts are padded to a multiple of this many tokens."""

KEPT = 8
"""Graphs kept per model; the one unused for longest goes first."""


@dataclass(frozen=True, slots=True)
class BlockInputs:
    """What a graph reads, at fixed addresses.

    Attributes:
        ids_RT: int64 prompts, padded on the right.
        places_RT: int64 rows of the position-in-segment table.
        documents_RT: int64, `PADDING` behind the prompt.
        positions_RT: int64, 0 at padding.
        lengths_R: int64 tokens of each prompt.
        uniforms_TB: float64.
    """

    ids_RT: Tensor
    places_RT: Tensor
    documents_RT: Tensor
    positions_RT: Tensor
    lengths_R: Tensor
    uniforms_TB: Tensor

    def take(self, other: BlockInputs) -> None:
        """Overwrite with other prompts of the same shapes."""
        for item in fields(self):
            getattr(self, item.name).copy_(getattr(other, item.name))


@dataclass(frozen=True, slots=True)
class Captured:
    """A graph with what it reads and writes."""

    graph: Any
    inputs: BlockInputs
    tokens_TB: Tensor


class _Store:
    def __init__(self) -> None:
        self.graphs: OrderedDict[object, Captured] = OrderedDict()
        self.seen: set[object] = set()
        self.refused: set[object] = set()
        self.pool: Any = None


_STORES: WeakKeyDictionary[AnyToAny, _Store] = WeakKeyDictionary()


def why_not(model: AnyToAny, rows: Sequence[TokenRow], draw: Draw) -> str | None:
    """Why such a block is not run with fixed shapes; None when it is."""
    device = model.embedding.weight.device.type
    if device != "cuda":
        return f"the model lies on {device}, and only CUDA has graphs"
    if draw.steps.end_from is not None:
        return f"the length of '{draw.steps.target}' varies"
    if any(row.features for row in rows):
        return "a source is continuous"
    return None


def captured_blocks(model: AnyToAny) -> int:
    """How many graphs the model has; for checks that they are in use."""
    store = _STORES.get(model)
    return 0 if store is None else len(store.graphs)


def row_size(rows: int) -> int:
    """The least size of at least `rows`: every number to 8, then eight sizes per doubling."""
    step = 1 << max(0, (rows - 1).bit_length() - 4)
    return -(-rows // step) * step


def block_inputs(rows: Sequence[TokenRow], variants: int, uniforms_TB: Tensor) -> BlockInputs:
    """Prompts with the shapes that graphs have; the last sample is repeated to fill up."""
    samples = len(rows) // variants
    size = row_size(samples)
    kept = [min(sample, samples - 1) for sample in range(size)]
    chosen = [rows[samples * variant + sample] for variant in range(variants) for sample in kept]
    device = uniforms_TB.device
    batch = collate(chosen)
    extra = -batch.ids_BT.shape[1] % PROMPT_STEP

    def padded(x_RT: Tensor, value: int) -> Tensor:
        return torch.nn.functional.pad(x_RT, (0, extra), value=value).to(device)

    return BlockInputs(
        ids_RT=padded(batch.ids_BT, 0),
        places_RT=padded(batch.places_BT, 0),
        documents_RT=padded(batch.layout.documents_BT, PADDING),
        positions_RT=padded(batch.layout.positions_BT, 0),
        lengths_R=torch.tensor([len(row) for row in chosen], device=device),
        uniforms_TB=uniforms_TB[:, torch.tensor(kept, device=device)],
    )


def whole_block(model: AnyToAny, inputs: BlockInputs, draw: Draw) -> Tensor:
    """int64 (T, B) ids local to the modality. Shapes are fixed and nothing waits for the device."""
    layout = SequenceLayout(
        documents_BT=inputs.documents_RT,
        positions_BT=inputs.positions_RT,
        cu_lengths=torch.nn.functional.pad(inputs.lengths_R.cumsum(0), (1, 0)).int(),
        max_length=inputs.ids_RT.shape[1],
        packed=False,
    )
    hidden_RD, cache = read(
        model, inputs.ids_RT, inputs.places_RT, layout, inputs.lengths_R - 1, room=len(draw.steps)
    )
    encoded = Encoded(hidden_RD, cache, inputs.lengths_R)
    decoding = Decoding(model, draw, encoded, inputs.uniforms_TB)
    decoding.run()
    return decoding.tokens_TB


def generate_block(
    model: AnyToAny, rows: Sequence[TokenRow], draw: Draw, uniforms_TB: Tensor
) -> list[IntArray]:
    """Generate after prompts for which `why_not` is None, under `decode.evaluating`."""
    inputs = block_inputs(rows, len(draw.variants), uniforms_TB)
    tokens_TB = _run(model, inputs, draw)
    return list(tokens_TB.T.cpu().numpy()[: uniforms_TB.shape[1]])


def _run(model: AnyToAny, inputs: BlockInputs, draw: Draw) -> Tensor:
    store, key = _STORES.setdefault(model, _Store()), _key(model, inputs, draw)
    if key not in store.seen or key in store.refused:
        store.seen.add(key)
        return whole_block(model, inputs, draw)
    found = store.graphs.get(key)
    if found is None:
        found = _try_capture(store, key, model, inputs, draw)
        if found is None:
            return whole_block(model, inputs, draw)
    store.graphs.move_to_end(key)
    found.inputs.take(inputs)
    found.graph.replay()
    return found.tokens_TB.clone()  # the next graph may write over it


def _key(model: AnyToAny, inputs: BlockInputs, draw: Draw) -> object:
    device = inputs.ids_RT.device.type
    # A graph reads the weights where they lie: an average that is swapped in lies elsewhere.
    weights = hash(tuple(parameter.data_ptr() for parameter in model.parameters()))
    autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    return tuple(inputs.ids_RT.shape), draw, weights, autocast


def _try_capture(
    store: _Store, key: object, model: AnyToAny, inputs: BlockInputs, draw: Draw
) -> Captured | None:
    try:
        found = capture(model, inputs, draw, store.pool)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        store.refused.add(key)
        warnings.warn(
            f"'{draw.steps.target}' is generated without a CUDA graph: {reason}", stacklevel=2
        )
        return None
    store.pool = found.graph.pool()
    store.graphs[key] = found
    if len(store.graphs) > KEPT:
        store.graphs.popitem(last=False)
    return found


def capture(model: AnyToAny, inputs: BlockInputs, draw: Draw, pool: Any = None) -> Captured:
    """Record a block; `inputs` become the addresses that replays read.

    Raises:
        RuntimeError: something in the block cannot be captured.
    """
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        whole_block(model, inputs, draw)  # libraries allocate at their first call
    torch.cuda.current_stream().wait_stream(stream)
    # Weights cast before are not cast again by replays; those cast inside are.
    torch.clear_autocast_cache()
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            tokens_TB = whole_block(model, inputs, draw)
    finally:
        torch.clear_autocast_cache()
    return Captured(graph, inputs, tokens_TB)
