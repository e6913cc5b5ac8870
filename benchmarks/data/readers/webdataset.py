"""webdataset: its own pipeline over the same tars."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import webdataset as wds
from work import BATCH, decode


def start(folder: Path, kind: str, workers: int, position: int = 0) -> Iterator[int]:
    """Sizes of batches of decoded samples, epoch after epoch; a position is reached by replay."""
    urls = [str(path) for path in sorted((folder / kind).rglob("*.tar"))]
    data = (
        wds.WebDataset(urls, shardshuffle=len(urls), nodesplitter=None, empty_check=False)
        .shuffle(1000)
        .map(_decoded)
        .batched(BATCH, collation_fn=list, partial=True)
    )
    loader = wds.WebLoader(data, num_workers=workers, batch_size=None, collate_fn=_unchanged)
    skip = position // BATCH
    while True:
        for batch in loader:
            if skip:
                skip -= 1
                continue
            yield len(batch)


def _decoded(sample: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value if name.startswith("__") else decode(name, value)
        for name, value in sample.items()
        if not name.endswith("json")
    }


def _unchanged(batch: Any) -> Any:
    """The default would turn arrays into tensors, which is slow to send between processes."""
    return batch
