"""The contracts between the framework and components.

Axes: B rows, T tokens, D width, V ids, N samples. "ids" are numpy int64 and local to a modality
(0..vocab_size-1); the framework adds offsets. Torch types appear in annotations only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from loretta_framework.api.layout import SequenceLayout
    from loretta_framework.api.specs import Bounds

# Text, not types: a recipe is checked in less time than numpy takes to be imported.
IntArray: TypeAlias = "NDArray[np.int64]"
FloatArray: TypeAlias = "NDArray[np.float32]"


@dataclass(frozen=True, slots=True)
class Artifact:
    """Something a person can look at or listen to: file bytes and their extension (no dot)."""

    data: bytes
    extension: str


@runtime_checkable
class Modality(Protocol):
    """Bytes to values and back, and values to what a person can judge. Built per recipe node.

    Must survive pickling (worker processes) and must not touch global state.
    """

    def read(self, data: bytes, extension: str) -> Any:
        """Decode a file. Raises `ValueError` when it cannot."""

    def write(self, value: Any) -> tuple[bytes, str]:
        """Encode a value as (file bytes, extension without dot)."""

    def show(self, value: Any) -> Sequence[Artifact]:
        """Forms for people; a PNG among them lets grids be drawn, a WAV lets it be heard."""

    def parse(self, value: Any) -> Any:
        """Bring what a caller of the Python API may pass (array, text, (wave, rate)) to a value.

        Raises `ValueError` when it cannot.
        """


@runtime_checkable
class Tokenizer(Modality, Protocol):
    """A discrete modality. Optional members: see `FittedTokenizer`, `Augmenting`, `Judgeable`."""

    def encode(self, value: Any) -> IntArray:
        """Ids (T,), min_tokens <= T <= max_tokens, each in 0..vocab_size-1. Deterministic."""

    def decode(self, ids: IntArray) -> Any:
        """A value from ids (T,), also from ids that no `encode` would give."""


@runtime_checkable
class FittedTokenizer(Tokenizer, Protocol):
    """A tokenizer that learns from the training data. Only files it wrote itself are loaded."""

    def fit(self, values: Iterable[Any], seed: int) -> Mapping[str, float]:
        """Learn; return figures a person can judge the fit by (for example distortion)."""

    def save(self, directory: Path) -> None:
        """Write the learned state as JSON, npy without objects, or safetensors."""

    def load(self, directory: Path) -> None:
        """Read what `save` wrote. Raises `ValueError` when files are missing or do not fit."""


@runtime_checkable
class Augmenting(Protocol):
    """A modality whose settings ask for augmentation: drawn per sample, before tokenising."""

    def augment(self, value: Any, random: np.random.Generator) -> Any:
        """A randomly changed copy of value; all randomness from the generator given."""


@runtime_checkable
class Judgeable(Protocol):
    """A modality whose values a small classifier can judge."""

    def features(self, value: Any) -> FloatArray:
        """float32 array of one fixed shape for all values: (channels, height, width)."""


@runtime_checkable
class EncoderNetwork(Protocol):
    """A torch module that turns features into vectors the backbone can be given."""

    width: int

    def __call__(self, features_N: Tensor) -> Tensor:
        """float32 (N, ...) features of N values -> (N, T, width), T = `bounds().max_tokens`."""


@runtime_checkable
class Encoder(Modality, Protocol):
    """A continuous modality that a model can be given: values in, never generated.

    The modality itself goes to worker processes and holds no weights; `network` makes those.
    """

    def preprocess(self, value: Any) -> FloatArray:
        """Features of one fixed shape for all values. Deterministic; needs no torch."""

    def network(self) -> EncoderNetwork | None:
        """A fresh network, its weights drawn from torch's own generator or read from a file.

        None: the features are vectors already, (T, width); then the modality itself has that `width`.
        """


@runtime_checkable
class DecoderNetwork(Protocol):
    """A torch module that makes values out of what the backbone says. C: width of the conditions."""

    def loss(self, conditions_BTC: Tensor, features_B: Tensor) -> Tensor:
        """float32 (B,): what to minimise for each value; features as `preprocess` gives them."""

    def sample(self, conditions_BTC: Tensor, generator: Any) -> Tensor:
        """Features (B, ...) of a value for each row, drawn from the torch generator given alone."""


@runtime_checkable
class Decoder(Modality, Protocol):
    """A continuous modality that can be generated. May be an `Encoder` too."""

    def preprocess(self, value: Any) -> FloatArray:
        """Features of one fixed shape for all values. Deterministic; needs no torch."""

    def restore(self, features: FloatArray) -> Any:
        """The value that features stand for: the way back of `preprocess`."""

    def decoder(self, width: int) -> DecoderNetwork:
        """A fresh network for conditions of this width."""


@runtime_checkable
class Cache(Protocol):
    """What a backbone keeps between `extend` calls."""

    def select(self, rows: Tensor) -> Cache:
        """A cache of the rows given (int64 (B',)); rows may repeat or vanish.

        It is independent of this one: extending either leaves the other as it is.
        """


@runtime_checkable
class Backbone(Protocol):
    """Embeddings in, hidden states out, causal within each document. A torch module.

    Documents that share a row never see each other. Padding changes nothing: neither another
    position's output nor any state in the cache.
    """

    width: int

    def __call__(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
        """(B, T, D) -> (B, T, D)."""

    def new_cache(self, batch: int, max_tokens: int) -> Cache:
        """An empty cache for `batch` rows of one document each."""

    def extend(self, x_BTD: Tensor, layout: SequenceLayout, cache: Cache) -> Tensor:
        """Append T tokens a row to the cache and return their outputs (prefill and step alike).

        `layout.positions_BT` continue where the row stopped. Rows may be padded on the right.
        """


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the model computed for a batch.

    Attributes:
        nll_BT: float32 (B, T), -log p(target) in nats over the ids that can occur at the position;
            0 where the loss weight is 0.
        hidden_BTD: (B, T, D) backbone outputs.
    """

    nll_BT: Tensor
    hidden_BTD: Tensor


EdgeLosses: TypeAlias = "dict[str, tuple[Tensor, Tensor]]"
"""Edge name -> (weighted sum of nats, sum of weights). Edge names: "image+text->speech", "->image"."""


@runtime_checkable
class Objective(Protocol):
    """Samples to sequences, outputs to per-edge sums. Never averages, logs or calls backward."""

    def sequences(self, samples: Sequence[Any], context: Any) -> Sequence[Any]:
        """Token rows for samples (`sequence.layout.TokenRow`), drawn by `context` keys only.

        An objective whose schedule has `every` > 1 is handed the samples of that many steps and
        the rows of each step are taken from the result in equal slices.
        """

    def loss(self, outputs: Outputs, batch: Any) -> EdgeLosses:
        """Per-edge sums and counts of this objective's own rows."""

    def state(self) -> Mapping[str, IntArray]:
        """What a restart needs beyond settings and step, as named integer arrays."""

    def restore(self, state: Mapping[str, IntArray]) -> None:
        """Take back what `state` gave."""


@runtime_checkable
class Callback(Protocol):
    """Watches a run. Any method may do nothing."""

    def on_start(self, run: Any) -> None:
        """Before the first step; `run` offers directory, plan, step, steps."""

    def on_step(self, run: Any, metrics: Mapping[str, float]) -> None:
        """After each optimiser step."""

    def on_end(self, run: Any) -> None:
        """After the last step, and when the run stops early."""


@runtime_checkable
class StatefulCallback(Callback, Protocol):
    """A callback whose memory lies in checkpoints: a resumed run goes on with what it had seen."""

    def state(self) -> Mapping[str, Any]:
        """What was seen so far, as plain JSON data: texts as keys, finite numbers, no tuples.

        Asked after `on_step` of the step that is saved.
        """

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave; called on a fresh instance, before `on_start`.

        Raises `ValueError` when it cannot: the settings may have changed since.
        """


@runtime_checkable
class Evaluator(Protocol):
    """Judges a loaded model on labelled test samples."""

    def evaluate(self, context: Any) -> Mapping[str, Any]:
        """Figures by directed edge; see `evaluate.context.EvaluationContext`."""


@runtime_checkable
class SampleStore(Protocol):
    """Samples that lie somewhere, by number: shards with their index, or what a `RowSource` opens.

    S samples. Numbers follow the order on disk. Must survive fork and pickling, sharing no open
    file with another process; what it keeps per sample lies in arrays, not in objects.

    Attributes:
        shapes: the distinct tuples of local member names that occur: `("image.png", "meta.json")`.
        shape_S: uint32 (S,), each sample's entry in `shapes`.
        starts: number of the first sample of each shard (file, row group), ascending from 0.
        digest: hash of the contents, wherever they lie, in hexadecimal.
    """

    shapes: Sequence[tuple[str, ...]]
    shape_S: NDArray[np.uint32]
    starts: Sequence[int]
    digest: str

    def __len__(self) -> int:
        """Number of samples."""

    def key(self, sample: int) -> str:
        """Its key, unique within the shard."""

    def key_hashes(self) -> NDArray[np.uint64]:
        """(S,) 64-bit hashes of the keys: equal keys have equal hashes."""

    def place(self, sample: int) -> str:
        """Where it lies, for messages: the shard's path or URL."""

    def size(self, sample: int, member: int) -> int:
        """Bytes of a member, known without reading it. `member` counts within the shape."""

    def read(self, sample: int, member: int) -> bytes:
        """The bytes of a member, checked against what was indexed.

        Raises `DamagedSampleError` when only this sample is at fault, `ShardError` when the shard
        cannot be read at all.
        """


@runtime_checkable
class RowSource(Protocol):
    """A `Source` whose sets are no tars: it opens what the recipe's `shards` names by itself."""

    def open(self, patterns: Sequence[str], base: Path) -> SampleStore:
        """The samples of what the patterns name, relative to `base`.

        Raises `ShardError` when nothing is there or it cannot be used.
        """


@runtime_checkable
class Source(Protocol):
    """Maps the members of one sample to the recipe's modalities. See `RowSource` too."""

    def modality_of(self, member: str) -> str | None:
        """The recipe's modality for a member name such as "image.png", or None to leave it out."""


class BuildContext(Protocol):
    """What a factory is given."""

    def build(self, kind: str, settings: Mapping[str, Any]) -> Any:
        """Build another installed component by its recipe name."""

    def bounds(self, kind: str, settings: Mapping[str, Any]) -> Bounds:
        """What the settings of another installed modality promise; it is not built."""

    note: Callable[[str, str, str], None]
    """note(key, choice, reason): record an automatic choice; it is printed once and saved."""
