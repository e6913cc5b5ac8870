"""The core's own plugin: registers what needs no other package, through the hooks all use."""

from __future__ import annotations

from collections.abc import Callable

from loretta_framework.api import (
    BackboneCapabilities,
    BackboneSpec,
    CallbackSpec,
    EvaluatorSpec,
    Kernel,
    ModalityCapabilities,
    ModalitySpec,
    ObjectiveCapabilities,
    ObjectiveSpec,
    hookimpl,
)


@hookimpl
def register_modalities(register: Callable[[ModalitySpec], None]) -> None:
    """Text as bytes."""
    register(
        ModalitySpec(
            name="text_bytes",
            version=1,
            summary="Text as UTF-8 bytes: any language, nothing to fit.",
            settings="loretta_framework.builtin.settings:TextBytesSettings",
            factory="loretta_framework.builtin.text_bytes:TextBytes",
            trial="loretta_framework.builtin.text_bytes_trial:TRIAL",
            capabilities=ModalityCapabilities(lossy=False, extensions=("txt",)),
        )
    )


@hookimpl
def register_backbones(register: Callable[[BackboneSpec], None]) -> None:
    """The Transformer."""
    register(
        BackboneSpec(
            name="transformer",
            version=1,
            summary="Causal Transformer with rotary positions and a key-value cache.",
            settings="loretta_framework.backbones.settings:TransformerSettings",
            factory="loretta_framework.backbones.transformer:build_transformer",
            trial="loretta_framework.backbones.settings:TRIAL",
            capabilities=BackboneCapabilities(compiles=True),
            kernels=(
                Kernel(
                    package="flash-attn",
                    probe="loretta_framework.backbones.kernels:probe_flash_attention",
                    install="pip install flash-attn --no-build-isolation",
                    without="Attention then runs through torch's own fused kernel.",
                ),
                Kernel(
                    package="flash-attn-3",
                    probe="loretta_framework.backbones.kernels:probe_flash_attention_3",
                    install="python setup.py install, in the folder hopper of flash-attention",
                    without="Attention: flash then takes flash-attn 2.",
                ),
                Kernel(
                    package="flash-attn-4",
                    probe="loretta_framework.backbones.kernels:probe_flash_attention_cute",
                    install="pip install flash-attn-4",
                    without="Attention: flash then takes flash-attn 3 or 2.",
                ),
            ),
        )
    )


@hookimpl
def register_objectives(register: Callable[[ObjectiveSpec], None]) -> None:
    """Commutative causal modelling, causal masking and transitive modelling."""
    room = "loretta_framework.objectives"
    register(
        ObjectiveSpec(
            name="causal",
            version=1,
            summary="Next-token prediction over the modalities of a sample, in every order.",
            settings=f"{room}.settings:CausalSettings",
            factory=f"{room}.causal:Causal",
        )
    )
    register(
        ObjectiveSpec(
            name="causal_masked",
            version=1,
            summary="Next-token prediction with spans moved to the end, so that the model infills.",
            settings=f"{room}.settings:CausalMaskedSettings",
            factory=f"{room}.causal_masked:CausalMasked",
        )
    )
    register(
        ObjectiveSpec(
            name="transitive",
            version=1,
            summary="Learns a missing pair: generates the absent modality, predicts the real one.",
            settings=f"{room}.settings:TransitiveSettings",
            factory=f"{room}.transitive:Transitive",
            capabilities=ObjectiveCapabilities(rollouts=True, needs_bridges=True),
        )
    )


@hookimpl
def register_callbacks(register: Callable[[CallbackSpec], None]) -> None:
    """Progress lines and TensorBoard events."""
    room = "loretta_framework.train.callbacks"
    register(
        CallbackSpec(
            name="progress",
            version=1,
            summary="Prints loss, speed and time left.",
            settings=f"{room}.settings:ProgressSettings",
            factory=f"{room}.progress:Progress",
        )
    )
    register(
        CallbackSpec(
            name="tensorboard",
            version=1,
            summary="Writes metrics as TensorBoard events.",
            settings=f"{room}.settings:TensorboardSettings",
            factory=f"{room}.tensorboard:Tensorboard",
        )
    )


@hookimpl
def register_evaluators(register: Callable[[EvaluatorSpec], None]) -> None:
    """Likelihood, retrieval, the class of generations, and a gallery of them."""
    room = "loretta_framework.evaluate"
    register(
        EvaluatorSpec(
            name="likelihood",
            version=1,
            summary="Nats per sample and per token on every directed edge.",
            settings=f"{room}.settings:LikelihoodSettings",
            factory=f"{room}.likelihood:Likelihood",
        )
    )
    register(
        EvaluatorSpec(
            name="retrieval",
            version=1,
            summary="How often the true source ranks first among others, by likelihood.",
            settings=f"{room}.settings:RetrievalSettings",
            factory=f"{room}.retrieval:Retrieval",
            trial="loretta_framework.builtin.evaluator_trials:RETRIEVAL",
        )
    )
    register(
        EvaluatorSpec(
            name="class_consistency",
            version=1,
            summary="How often a generation has the class of its source.",
            settings=f"{room}.settings:ClassConsistencySettings",
            factory=f"{room}.class_consistency:ClassConsistency",
            trial="loretta_framework.builtin.evaluator_trials:CLASS_CONSISTENCY",
        )
    )
    register(
        EvaluatorSpec(
            name="gallery",
            version=1,
            summary="Saves generations of every edge to look at and to listen to.",
            settings=f"{room}.settings:GallerySettings",
            factory=f"{room}.gallery:Gallery",
        )
    )
