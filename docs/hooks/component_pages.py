"""The components of the core and of the bundled plugins, from their specs and settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import fields

from loretta_framework.api.specs import BackboneSpec, ComponentSpec, ModalitySpec
from loretta_framework.registry import Group, Registry

PLURAL = {"modality": "Modalities"}


def pages() -> Iterator[tuple[str, str]]:
    """One page."""
    yield "reference/components.md", "\n".join(_page())


def _page() -> Iterator[str]:
    yield "# Components\n"
    yield "What a recipe can name with the core and the bundled plugins installed.\n"
    registry = Registry.discover()
    for group in get_args(Group):
        names = registry.names(group)
        if names:
            yield f"## {PLURAL.get(group, group.capitalize() + 's')}\n"
        for name in names:
            yield from _component(registry, registry.component(name))


def _component(registry: Registry, spec: ComponentSpec) -> Iterator[str]:
    yield f"### {spec.name}\n"
    yield f"{spec.summary}\n"
    yield f"*{registry.distribution(spec.name).partition(' ')[0]}, version {spec.version}{_more(spec)}*\n"
    model = spec.settings_class()
    if model.model_fields:
        yield from fields.table(model)
    else:
        yield "It has no settings."
    yield ""
    for inner in fields.nested(model):
        yield f"#### {inner.__name__}\n"
        yield f"{(inner.__doc__ or '').strip()}\n"
        yield from fields.table(inner)
        yield ""


def _more(spec: ComponentSpec) -> str:
    text = ""
    if isinstance(spec, ModalitySpec):
        has = spec.capabilities
        text += f"; {has.form}" + ("; fitted on training data" if has.fitted else "")
        text += f"; files: {', '.join(has.extensions)}" if has.extensions else ""
    if isinstance(spec, BackboneSpec):
        text += f"; cache: {spec.capabilities.cache}"
    for kernel in spec.kernels:
        text += f"; optional kernel: {kernel.package}"
    return text
