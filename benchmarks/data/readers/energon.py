"""megatron-energon: its own index and loader over the same tars."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from megatron.energon import (
    Cooker,
    DefaultTaskEncoder,
    WorkerConfig,
    edataclass,
    get_loader,
    get_train_dataset,
    stateless,
)
from megatron.energon.flavors.base_dataset import Sample
from work import BATCH, decode


@edataclass
class Decoded(Sample):
    """A sample's tokens."""

    parts: dict[str, Any]


@stateless
def _cook(sample: dict[str, Any]) -> Decoded:
    parts = {
        name: decode(name, value)
        for name, value in sample.items()
        if not name.startswith("__") and not name.endswith("json")
    }
    return Decoded(
        __key__=sample["__key__"],
        __restore_key__=sample["__restore_key__"],
        __subflavors__=None,
        parts=parts,
    )


class Task(DefaultTaskEncoder):  # type: ignore[misc]
    """Decodes as every reader of the benchmark does."""

    decoder = None
    cookers = [Cooker(_cook)]  # noqa: RUF012

    @stateless
    def encode_sample(self, sample: Decoded) -> Decoded:
        """The cooker did it."""
        return sample

    @stateless
    def batch(self, samples: list[Decoded]) -> list[Decoded]:
        """A list of samples."""
        return samples

    @stateless
    def encode_batch(self, batch: list[Decoded]) -> list[Decoded]:
        """As it is."""
        return batch


def prepare(folder: Path, kind: str) -> None:
    """Write its index and description beside the shards."""
    from megatron.energon.flavors.webdataset.prepare import WebdatasetPreparator

    root = folder / kind
    if (root / ".nv-meta" / "dataset.yaml").is_file():
        return
    paths = [str(path.relative_to(root)) for path in sorted(root.rglob("*.tar"))]
    WebdatasetPreparator.prepare_dataset(root, paths, split_parts_ratio=[("train", 1.0)], workers=2)
    (root / ".nv-meta" / "dataset.yaml").write_text(
        "__module__: megatron.energon\n__class__: CrudeWebdataset\n"
    )


def start(folder: Path, kind: str, workers: int, position: int = 0) -> Iterator[int]:
    """Sizes of batches of decoded samples, endlessly."""
    config = WorkerConfig(rank=0, world_size=1, num_workers=workers)
    data = get_train_dataset(
        folder / kind,
        worker_config=config,
        batch_size=BATCH,
        shuffle_buffer_size=1000,
        max_samples_per_sequence=100,
        task_encoder=Task(),
    )
    skip = position // BATCH
    for batch in get_loader(data):
        if skip:
            skip -= 1
            continue
        yield len(batch)
