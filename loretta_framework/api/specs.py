"""What a plugin registers: frozen records that name code without importing it.

Discovery reads only these. The settings class is imported when a recipe names the component, the
factory when it is built. References are written by installed code; no file can supply one.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any, Literal

from loretta_framework.api.version import API_VERSION


@dataclass(frozen=True, slots=True)
class LazyReference:
    """`module:attribute`, imported on `resolve()` and not before."""

    module: str
    attribute: str

    @classmethod
    def parse(cls, text: str) -> LazyReference:
        """Read "package.module:attribute".

        Raises:
            ValueError: the text has not that form.
        """
        module, colon, attribute = text.partition(":")
        if not (module and colon and attribute):
            raise ValueError(f"a reference must be 'module:attribute', but is {text!r}")
        return cls(module, attribute)

    def resolve(self) -> Any:
        """Import the module and return the attribute."""
        return getattr(importlib.import_module(self.module), self.attribute)

    def __str__(self) -> str:
        return f"{self.module}:{self.attribute}"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a modality's settings promise before anything is built or fitted.

    Attributes:
        vocab_size: number of ids; `encode` returns ids in 0..vocab_size-1. 0 when continuous.
        min_tokens: shortest segment, class and end token not counted, at least 1.
        max_tokens: longest segment. Equal to `min_tokens` when the length is fixed; then the
            segment needs no end token.
        slots: for fixed lengths, the ids that are predicted at each position; () when all are, at
            every position. An id outside its position's slot may stand there as an input (a marker
            of a missing feature): it is never a target and never generated.
    """

    vocab_size: int
    min_tokens: int
    max_tokens: int
    slots: tuple[range, ...] = ()

    @property
    def fixed_length(self) -> bool:
        """Whether every segment has the same number of tokens."""
        return self.min_tokens == self.max_tokens


@dataclass(frozen=True, slots=True)
class ModalityCapabilities:
    """What a modality can do, as data.

    Attributes:
        form: "discrete" (a tokenizer) or "continuous" (an encoder, a decoder, or both).
        fitted: whether `fit` must see data before the first `encode`.
        lossy: whether `decode(encode(x))` may differ from x.
        extensions: file extensions `read` accepts, without the dot; the first is what `write` makes.
    """

    form: Literal["discrete", "continuous"] = "discrete"
    fitted: bool = False
    lossy: bool = True
    extensions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BackboneCapabilities:
    """What a backbone can do, as data.

    Attributes:
        packed: documents in one row never see each other.
        cache: "growing" (attention), "constant" (recurrent state) or "none".
        max_length: longest sequence in tokens, None when there is no limit.
        float32_parameters: patterns (`fnmatch`) of parameters that must stay float32. Training keeps
            every weight float32 today, so nothing in the framework reads them but the conformance
            kit; what stores or sends weights in a shorter format is to leave these out.
        exact: a change of other inputs (later tokens, other documents, padding) leaves an output
            equal bit for bit. False for backbones that mix all positions in one transform, such as
            FFT convolutions: there it moves by no more than rounding.
        compiles: its module names `blocks`, each of which torch.compile traces as one graph in
            seconds and makes faster. Long runs then compile them unasked; others do when
            `train.compile` asks for it.
    """

    packed: bool = True
    cache: Literal["growing", "constant", "none"] = "growing"
    max_length: int | None = None
    float32_parameters: tuple[str, ...] = ()
    exact: bool = True
    compiles: bool = False


@dataclass(frozen=True, slots=True)
class ObjectiveCapabilities:
    """What an objective needs.

    Attributes:
        rollouts: it samples from the model inside the step.
        needs_bridges: it has work only where the graph has missing pairs.
        own_loss: its sums are no weighted sums of the batch's nll. The conformance kit then checks
            them for edges, finiteness, gradients and additivity, and not against a reference.
    """

    rollouts: bool = False
    needs_bridges: bool = False
    own_loss: bool = False


@dataclass(frozen=True, slots=True)
class NoCapabilities:
    """For kinds whose contract leaves nothing to declare: callbacks, evaluators, sources."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """An optional fast path: compiled code that a component takes when it is there and works.

    Attributes:
        package: the distribution that brings it, for example "flash-attn".
        probe: reference to a function without parameters that runs a tiny forward and backward
            through the kernel and returns a sentence on what works. An `ImportError`, `OSError` or
            `RuntimeError` of it is shown with its text. `plugins doctor` calls it in a process of
            its own.
        install: the command that installs it.
        without: what happens where it is absent, one sentence.
    """

    package: str
    probe: str
    install: str
    without: str


@dataclass(frozen=True, slots=True)
class ComponentSpec:
    """What every kind of component has in common.

    Attributes:
        name: the name in recipes: `<plugin>.<component>`; built-ins have no prefix.
        version: raised when stored state changes its meaning; checkpoints hold it.
        summary: one sentence.
        settings: reference to a `loretta_framework.api.Settings` class (torch-free).
        factory: reference to a callable `factory(settings, context)`.
        api: inclusive range of API versions it was written for.
        trial: reference to a `loretta_framework.api.Trial`: with what the conformance kit tries the
            component; "" where its defaults are complete and small.
        kernels: optional fast paths it knows.
    """

    name: str
    version: int
    summary: str
    settings: str
    factory: str
    api: tuple[int, int] = (API_VERSION, API_VERSION)
    trial: str = ""
    kernels: tuple[Kernel, ...] = ()

    def settings_class(self) -> Any:
        """Import and return the settings class."""
        return LazyReference.parse(self.settings).resolve()

    def build(self, settings: Any, context: Any) -> Any:
        """Import the factory and call it."""
        return LazyReference.parse(self.factory).resolve()(settings, context)


@dataclass(frozen=True, slots=True)
class ModalitySpec(ComponentSpec):
    """A modality; the factory returns a `protocols.Modality`."""

    capabilities: ModalityCapabilities = field(default_factory=ModalityCapabilities)


@dataclass(frozen=True, slots=True)
class BackboneSpec(ComponentSpec):
    """A backbone; the factory returns a torch module that is a `protocols.Backbone`."""

    capabilities: BackboneCapabilities = field(default_factory=BackboneCapabilities)


@dataclass(frozen=True, slots=True)
class ObjectiveSpec(ComponentSpec):
    """A training objective; the factory returns a `protocols.Objective`."""

    capabilities: ObjectiveCapabilities = field(default_factory=ObjectiveCapabilities)


@dataclass(frozen=True, slots=True)
class CallbackSpec(ComponentSpec):
    """Something that watches training; the factory returns a `protocols.Callback`."""

    capabilities: NoCapabilities = field(default_factory=NoCapabilities)


@dataclass(frozen=True, slots=True)
class EvaluatorSpec(ComponentSpec):
    """A judge of a trained model; the factory returns a `protocols.Evaluator`."""

    capabilities: NoCapabilities = field(default_factory=NoCapabilities)


@dataclass(frozen=True, slots=True)
class SourceSpec(ComponentSpec):
    """Maps member names of a sample to modalities; the factory returns a `protocols.Source`."""

    capabilities: NoCapabilities = field(default_factory=NoCapabilities)
