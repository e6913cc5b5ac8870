"""What a data set holds, against what the recipe declares of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from loretta_framework.recipe.plan import SetPlan
from loretta_framework.shards.linting.contents import Contents
from loretta_framework.shards.linting.findings import Finding
from loretta_framework.shards.members import META, SEQUENCE


def check_declarations(
    plan: SetPlan,
    contents: Contents,
    mapping: Callable[[str], str | None],
    modalities: Sequence[str],
    max_bytes: Mapping[str, int],
) -> Iterator[Finding]:
    """Members that nobody takes, modalities that are absent or undeclared, incomplete samples,
    and members above their modality's limit.

    Args:
        plan: the set as declared.
        contents: what its shards hold.
        mapping: local name -> modality.
        modalities: those of the recipe.
        max_bytes: limit of each.
    """
    title = f"{plan.split}/{plan.name}"
    mapped = {name: _mapped(name, mapping, plan) for name in contents.names}
    yield from _names(plan, contents, mapped, modalities, title)
    yield from _absent(plan, contents, mapped, title)
    if plan.missing == "error":
        yield from _incomplete(plan, contents, mapped, title)
    yield from _too_large(plan, contents, mapped, max_bytes, title)


def _mapped(name: str, mapping: Callable[[str], str | None], plan: SetPlan) -> str | None:
    facts = {META, SEQUENCE, f"{plan.label.partition('.')[0]}.json" if plan.label else META}
    return "" if name in facts else mapping(name)


def _names(
    plan: SetPlan,
    contents: Contents,
    mapped: Mapping[str, str | None],
    modalities: Sequence[str],
    title: str,
) -> Iterator[Finding]:
    counts = Counter(contents.name_M)
    first: dict[int, int] = {}
    for member, number in enumerate(contents.name_M):
        first.setdefault(number, member)
    for name, number in contents.names.items():
        modality = mapped[name]
        if modality == "" or modality in plan.modalities:
            continue
        place = contents.place(first[number])
        if modality in modalities:
            code = "undeclared-modality"
            what = f"{counts[number]} members are {modality}, which the set does not declare"
            fix = "add it to the set's `modalities`, or leave it if it is not to be used"
        else:
            code = "unused-member"
            what = f"{counts[number]} members of this name belong to no modality of the recipe"
            fix = "map them with a `source`, or leave them out of the shards"
        yield Finding("warning", code, what, fix, place.shard, place.offset, place.key, name, title)


def _absent(
    plan: SetPlan, contents: Contents, mapped: Mapping[str, str | None], title: str
) -> Iterator[Finding]:
    for modality in plan.modalities:
        if modality not in mapped.values():
            what = f"no sample has {modality}, although the set declares it"
            fix = f"name its members <key>.{modality}.<extension>, map them, or do not declare it"
            yield Finding("error", "absent-modality", what, fix, data_set=title)


def _incomplete(
    plan: SetPlan, contents: Contents, mapped: Mapping[str, str | None], title: str
) -> Iterator[Finding]:
    of_name = [mapped[name] for name in contents.names]
    present: list[set[str | None]] = [set() for _ in contents.keys]
    for sample, name in zip(contents.sample_M, contents.name_M, strict=True):
        present[sample].add(of_name[name])
    for sample, held in enumerate(present):
        lacking = [name for name in plan.modalities if name not in held]
        if lacking:
            what = f"the sample lacks {', '.join(lacking)}, and the set says missing: error"
            fix = "complete the sample, or set missing: keep or skip"
            shard = contents.shards[contents.shard_N[sample]]
            key = contents.keys[sample]
            offset = contents.first_header(sample)
            yield Finding("error", "missing-modality", what, fix, shard, offset, key, "", title)


def _too_large(
    plan: SetPlan,
    contents: Contents,
    mapped: Mapping[str, str | None],
    max_bytes: Mapping[str, int],
    title: str,
) -> Iterator[Finding]:
    of_name = [mapped[name] for name in contents.names]
    for member, (name, size) in enumerate(zip(contents.name_M, contents.size_M, strict=True)):
        modality = of_name[name]
        if modality and modality in plan.modalities and size > max_bytes[modality]:
            place = contents.place(member)
            limit = max_bytes[modality]
            what = f"it may have at most {limit} bytes (max_bytes of '{modality}'), but has {size}"
            fix = "store it in a smaller form, or raise max_bytes"
            yield Finding(
                "error",
                "over-limit",
                what,
                fix,
                place.shard,
                place.offset,
                place.key,
                place.member,
                title,
            )
