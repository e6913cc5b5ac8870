"""What a run is judged on: its test sets or other shards, their classes, and a hash of it all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

from loretta_framework.api.errors import InputError, ShardError
from loretta_framework.api.protocols import Source
from loretta_framework.data.sample import open_store, source_of
from loretta_framework.data.values import ValueSample, read_shards, read_values
from loretta_framework.inference import LoadedModel
from loretta_framework.recipe.plan import SetPlan
from loretta_framework.shards.index import expand_shards, open_index

Note = Callable[[str, str, str], None]


@dataclass(frozen=True, slots=True)
class EvaluationData:
    """Samples to judge on.

    Attributes:
        samples: with values and tokens.
        data_hash: of the shards' contents and of how samples and classes are read from them.
    """

    samples: tuple[ValueSample, ...]
    data_hash: str


class SampleReader:
    """Reads the sets of a run.

    Args:
        model: the run's model and tokenizers.
        sources: built sources by "<split>/<set>".
        label: where classes stand; None: as the recipe says.
        note: told of automatic choices.
    """

    def __init__(
        self, model: LoadedModel, sources: Mapping[str, Source], label: str | None, note: Note
    ) -> None:
        self.model, self.sources, self.label, self.note = model, sources, label, note

    def test(self, shards: Sequence[str] = ()) -> EvaluationData:
        """The recipe's test sets, or the shards that the patterns name.

        Raises:
            InputError: the recipe has no test set and no shards are named.
            ShardError: shards cannot be read.
        """
        plan = self.model.plan
        if shards:
            paths = expand_shards(list(shards), Path.cwd())
            label = self.label or self._common_label()
            found = read_shards(plan, self.model.tokenizers, paths, label)
            content = [open_index(paths).digest, list(self.model.modalities), label]
            return EvaluationData(tuple(found), _hash([content]))
        if not plan.split("test"):
            raise InputError(
                "the recipe has no test set", fix="add one under data.test, or pass --data SHARDS"
            )
        labelled = replace(plan, sets=tuple(self._labelled(item) for item in plan.sets))
        found = read_values(labelled, self.model.tokenizers, "test", sources=self.sources)
        return EvaluationData(
            tuple(found), _hash([self._content(item) for item in labelled.split("test")])
        )

    def training(self, modality: str, limit: int) -> list[ValueSample]:
        """Real training samples of one modality, at most `limit`, spread evenly over the sets.

        A training set that declares no label is read with the one given for the evaluation, or
        with the test sets'; where its samples lack that, they come without classes.

        Raises:
            ShardError: a set cannot be read.
        """
        own = [
            replace(item, modalities=(modality,), missing="keep")
            for item in self.model.plan.split("train")
            if any(modality in combo for combo, _ in item.combinations)
        ]
        common = self._common_label()
        lent = [replace(item, label=self.label or item.label or common) for item in own]
        if lent == own:
            return self._read(own, limit)
        named = ", ".join(a.name for a, b in zip(own, lent, strict=True) if a != b)
        try:
            found = self._read(lent, limit)
        except ShardError as error:
            # Classes elsewhere would not be those of the test samples: better none than wrong ones.
            bare = [replace(item, label=None if self.label else item.label) for item in own]
            found = self._read(bare, limit)  # other damage shows again here
            self.note(
                f"label of {named}", "none", f"there is no {self.label or common}: {error.what}"
            )
        else:
            why = f"they declare none or another; the judge of {modality} needs the test's classes"
            self.note(f"label of {named}", str(self.label or common), why)
        return found

    def _read(self, sets: Sequence[SetPlan], limit: int) -> list[ValueSample]:
        plan = replace(self.model.plan, sets=tuple(sets))
        return read_values(plan, self.model.tokenizers, "train", limit, self.sources)

    def _labelled(self, item: SetPlan) -> SetPlan:
        return replace(item, label=self.label) if self.label else item

    def _content(self, item: SetPlan) -> list[object]:
        source = asdict(item.source) if item.source else None
        digest = open_store(item, source_of(item, self.sources)).digest
        return [digest, sorted(item.modalities), item.label, item.missing, source]

    def _common_label(self) -> str | None:
        labels = {item.label for item in self.model.plan.split("test") if item.label}
        return next(iter(labels)) if len(labels) == 1 else self.label


def _hash(content: Sequence[Sequence[object]]) -> str:
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
