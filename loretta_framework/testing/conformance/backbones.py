"""Checks that concern backbones: what a position may depend on."""

from __future__ import annotations

import torch

from loretta_framework.testing.conformance.backbone_rows import (
    LENGTHS,
    Rows,
    bound,
    capabilities,
    change,
    documents,
    fresh,
    gradients,
    require_close,
    require_close_gradients,
    require_unmoved,
    run,
    stirred,
)
from loretta_framework.testing.conformance.checks import NotApplicable, check, require
from loretta_framework.testing.conformance.subject import Subject

LINES = ((0, 2), (1, 3, 4, 5))
"""How the documents of `LENGTHS` are packed: into 18 and 16 tokens."""


@check("backbone")
def keeps_the_shape(subject: Subject) -> None:
    """Its `width` is a positive integer D, and it turns (B, T, D) into finite (B, T, D).

    Set `self.width` in `__init__`; the model makes its embeddings and heads of that width. The
    output is not flattened and not cut, and padding has outputs too (any finite ones: a NaN there
    would reach the loss through 0 x NaN).
    """
    backbone = fresh(subject)
    width = getattr(backbone, "width", None)
    require(type(width) is int and width > 0, f"width must be a positive int, but is {width!r}")
    for lengths in ((1,), (3, 1), LENGTHS):
        rows = Rows.alone(lengths)
        x_BTD = rows.fill(documents(backbone, lengths), padding=1.0)
        with torch.no_grad():
            out_BTD = backbone(x_BTD, rows.layout)
        shape = tuple(out_BTD.shape)
        require(shape == x_BTD.shape, f"the output is {shape} for an input {tuple(x_BTD.shape)}")
        require(out_BTD.is_floating_point(), f"the output is {out_BTD.dtype}, not floating point")
        require(bool(out_BTD.isfinite().all()), f"outputs are not finite for lengths {lengths}")


@check("backbone")
def is_causal(subject: Subject) -> None:
    """Changing token t leaves all outputs before t as they are, bit for bit, and changes output t.

    A position may look at itself and to the left, never to the right: check the mask's diagonal,
    the side on which a convolution is padded, the shift of a scan, and that nothing is normalised
    over time or over the batch. Where chunks are computed as products, whatever lies ahead must
    enter with the factor 0 exactly. An FFT cannot do that: declare `exact=False`, and 64 eps
    sqrt(T) of the largest output is the bound, under a change of 100. An FFT without as many zeros
    behind the tokens as the filter is long wraps the end around to the beginning.
    """
    backbone = stirred(subject)
    (part,) = documents(backbone, [40])
    rows = Rows.alone([40])
    (before,) = run(backbone, rows, [part])
    for t in (1, 7, 20, 39):
        changed = part.clone()
        changed[t] += change(subject, 1.0)
        (after,) = run(backbone, rows, [changed])
        what = f"outputs before position {t}, when it changes"
        require_unmoved(subject, after[:t], before[:t], after, what)
        rounding = 0.0 if capabilities(subject).exact else bound(40) * float(after.abs().max())
        moved = float((after[t] - before[t]).abs().max())
        require(moved > rounding, f"output {t} does not depend on input {t}")


@check("backbone")
def packed_equals_separate(subject: Subject) -> None:
    """Documents packed into one row give what each gives in a row of its own, forward and gradient.

    Use `layout.documents_BT` (or `cu_lengths`) in everything that mixes positions: attention masks
    (`loretta_framework.api.document_mask`), convolutions, recurrent state, rotary angles (from
    `positions_BT`, which start at 0 in each document). Only rounding may differ: the bound is
    64 eps sqrt(T) of the largest entry.
    """
    _require_packed(subject)
    backbone = stirred(subject)
    parts = documents(backbone, LENGTHS)
    packed, alone = Rows.of(LENGTHS, LINES), Rows.alone(LENGTHS)
    tokens = sum(LENGTHS)
    for number, (got, wanted) in enumerate(
        zip(run(backbone, packed, parts), run(backbone, alone, parts), strict=True)
    ):
        require_close(got, wanted, tokens, f"outputs of document {number}, packed and alone")
    got_p, got_x = gradients(backbone, packed, packed.fill(parts))
    wanted_p, wanted_x = gradients(backbone, alone, alone.fill(parts))
    require_close_gradients(got_p, wanted_p, tokens, "packed and alone")
    scale = float(wanted_x.abs().max())
    for number, (one, other) in enumerate(
        zip(packed.split(got_x), alone.split(wanted_x), strict=True)
    ):
        require_close(one, other, tokens, f"input gradient of document {number}", scale)


@check("backbone")
def packed_documents_do_not_see_each_other(subject: Subject) -> None:
    """Changing one document of a packed row leaves the others' outputs as they are, bit for bit.

    What a mask removes must be removed exactly. A large negative number that is added to scores
    or log-decays may leave a trace, and costs precision where it is summed: multiply by 0, or use
    `masked_fill(-inf)` before a softmax that has at least one real entry in each row. With
    `exact=False` outputs may move by 64 eps sqrt(T) of the largest, under a change of 100.
    """
    _require_packed(subject)
    backbone = stirred(subject)
    parts = documents(backbone, LENGTHS)
    rows = Rows.of(LENGTHS, LINES)
    before = run(backbone, rows, parts)
    for changed in range(len(parts)):
        others = list(parts)
        others[changed] = parts[changed] * -3.0 + change(subject, 1.0)
        after = run(backbone, rows, others)
        everything = torch.cat(after)
        for number in range(len(parts)):
            if number != changed:
                what = f"outputs of document {number}, when document {changed} changes"
                require_unmoved(subject, after[number], before[number], everything, what)


@check("backbone")
def padding_changes_nothing(subject: Subject) -> None:
    """What stands at padding, and how much of it there is, changes no output and no gradient.

    Padding follows the tokens of its row, and `layout.documents_BT` is `PADDING` (-1) there. Leave
    it out of every mean, norm over time, and count. Its contents are arbitrary but finite numbers:
    outputs of the documents must not change by a bit, and no gradient may reach it. With
    `exact=False` both may be as large as rounding: 64 eps sqrt(T) of the largest.
    """
    backbone = stirred(subject)
    parts = documents(backbone, LENGTHS)
    tokens = sum(LENGTHS)
    rows, longer = Rows.alone(LENGTHS), Rows.alone(LENGTHS, tokens=max(LENGTHS) + 10)
    clean_x, dirty_x = rows.fill(parts), rows.fill(parts, padding=change(subject, 5.0))
    with torch.no_grad():
        clean_BTD, dirty_BTD = (backbone(x, rows.layout) for x in (clean_x, dirty_x))
    clean, dirty = rows.split(clean_BTD), rows.split(dirty_BTD)
    wide = run(backbone, longer, parts)
    for number in range(len(parts)):
        what = f"document {number}, when padding changes"
        require_unmoved(subject, dirty[number], clean[number], dirty_BTD, what)
        require_close(wide[number], clean[number], tokens, f"document {number}, with more padding")
    clean_p, _ = gradients(backbone, rows, clean_x)
    dirty_p, dirty_g = gradients(backbone, rows, dirty_x)
    require_close_gradients(dirty_p, clean_p, tokens, "when padding changes")
    leaked = float(dirty_g[~rows.real_BT].abs().max())
    exact = capabilities(subject).exact
    most = 0.0 if exact else bound(max(LENGTHS)) * float(dirty_g.abs().max())
    require(leaked <= most, f"padding must get no gradient, but gets up to {leaked:.2g}")


@check("backbone")
def rows_do_not_mix(subject: Subject) -> None:
    """A row gives the same outputs in any order of rows, and alone.

    Rows of a batch have nothing to do with each other. Look for a reshape that mixes the axes B and
    T, a norm over the batch, or state that is kept from one call to the next.
    """
    backbone = stirred(subject)
    parts = documents(backbone, LENGTHS)
    longest, tokens = max(LENGTHS), sum(LENGTHS)
    together = run(backbone, Rows.alone(LENGTHS), parts)
    turned = run(backbone, Rows.alone(LENGTHS[::-1]), parts[::-1])[::-1]
    for number, part in enumerate(parts):
        (alone,) = run(backbone, Rows.alone([len(part)], tokens=longest), [part])
        for got, how in ((turned[number], "in reversed order"), (alone, "alone")):
            require_close(got, together[number], tokens, f"row {number}, {how}")


def _require_packed(subject: Subject) -> None:
    if not capabilities(subject).packed:
        raise NotApplicable("it declares that rows hold one document each (packed=False)")
