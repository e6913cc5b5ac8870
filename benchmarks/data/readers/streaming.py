"""mosaicml-streaming: the same samples in its own format."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

# Beside a CPU torch, torchvision's native part does not load, and streaming imports torchvision.
_OPERATORS = torch.library.Library("torchvision", "FRAGMENT")
for _name in ("nms", "qnms"):
    _OPERATORS.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from streaming import MDSWriter, StreamingDataset  # noqa: E402
from work import BATCH, decode  # noqa: E402


class Decoded(StreamingDataset):  # type: ignore[misc]
    """Decodes as every reader of the benchmark does."""

    def __getitem__(self, at: Any) -> Any:
        sample = super().__getitem__(at)
        return {
            name.replace("_", "."): decode(name.replace("_", "."), value)
            for name, value in sample.items()
            if not name.endswith("json")
        }


def prepare(folder: Path, kind: str) -> None:
    """Convert the tars, once."""
    out = folder / f"{kind}-mds"
    if out.is_dir():
        return
    samples = _samples(sorted((folder / kind).rglob("*.tar")))
    first = next(samples)
    names = list(first)
    columns = {name.replace(".", "_"): "bytes" for name in names}
    with MDSWriter(out=str(out), columns=columns) as writer:
        for sample in (first, *samples):
            writer.write({name.replace(".", "_"): sample[name] for name in names})


def _samples(shards: list[Path]) -> Iterator[dict[str, bytes]]:
    for shard in shards:
        with tarfile.open(shard) as tar:
            for _, members in groupby(tar, key=lambda info: info.name.partition(".")[0]):
                yield {m.name.partition(".")[2]: tar.extractfile(m).read() for m in members}


def start(folder: Path, kind: str, workers: int, position: int = 0) -> Iterator[int]:
    """Sizes of batches of decoded samples, epoch after epoch."""
    data = Decoded(local=str(folder / f"{kind}-mds"), shuffle=True, batch_size=BATCH)
    if position:
        data.load_state_dict(
            {
                "epoch": 0,
                "sample_in_epoch": position,
                "num_canonical_nodes": 1,
                "shuffle_seed": data.shuffle_seed,
                "initial_physical_nodes": 1,
            }
        )
    loader = torch.utils.data.DataLoader(
        data, batch_size=BATCH, num_workers=workers, collate_fn=list
    )
    while True:
        for batch in loader:
            yield len(batch)
