"""One tar header: what of its 512 bytes matters to a reader of plain files.

Headers of the common form are taken apart by one pattern, in a quarter of the time of the standard
library; every other one is the library's to judge.
"""

from __future__ import annotations

import re
import tarfile
from typing import NamedTuple

_OCTAL = rb"[0-7]{7}\0"
_COMMON = re.compile(
    rb"(.{100})"  # name
    + 3 * _OCTAL  # mode, owner, group
    + rb"([0-7]{11})[\0 ][0-7]{11}[\0 ]"  # size, time
    + rb"([0-7]{6})\0 0\0{100}"  # checksum, plain file, no link
    + rb"ustar(?:\x0000|  \0).{64}"
    + rb"(?:" + _OCTAL + rb"|\0{8}){2}\0{167}",  # no device, no prefix
    re.DOTALL,
)  # fmt: skip
_CHECKSUM = slice(148, 156)
_BLANKS = 8 * ord(" ")


class RawHeader(NamedTuple):
    """What a header says of itself, before extended headers.

    Attributes:
        name: as UTF-8; other bytes are surrogates.
        size: bytes, negative when it says so.
        kind: the type flag, of `tarfile`'s `*TYPE` constants.
    """

    name: str
    size: int
    kind: bytes


def parse_header(block: bytes) -> RawHeader:
    """Take 512 bytes apart.

    Raises:
        ValueError: they are no header: a checksum or a number field is wrong.
    """
    common = _COMMON.fullmatch(block)
    if common and int(common[3], 8) == sum(block) - sum(block[_CHECKSUM]) + _BLANKS:
        name = common[1].partition(b"\0")[0].decode("utf-8", "surrogateescape")
        return RawHeader(name, int(common[2], 8), tarfile.REGTYPE)
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        raise ValueError(str(error)) from error
    return RawHeader(info.name, info.size, info.type)
