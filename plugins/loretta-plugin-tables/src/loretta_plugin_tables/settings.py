"""Settings of both sources: which column becomes which member."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from loretta_framework.api import Settings

META = "meta.json"
"""Member that holds a sample's facts; `meta` says which columns go there."""

_MEMBER = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(\.[1-9][0-9]*)?\.[a-z0-9]+")
_CODE = frozenset({"pkl", "pyd", "pickle", "pth", "pt"})


class TableSettings(Settings):
    """Columns and the members that they become."""

    columns: Annotated[dict[str, str], Field(min_length=1)] = Field(
        description="Column name -> member name, `<modality>[.<number>].<extension>`."
    )
    key: str | None = Field(
        default=None,
        description="Column of the samples' keys, unique over all files; null: the row's number.",
    )
    meta: list[str] = Field(
        default_factory=list, description="Columns that go into the sample's `meta.json`."
    )

    @field_validator("columns")
    @classmethod
    def _members(cls, columns: dict[str, str]) -> dict[str, str]:
        seen: dict[str, str] = {}
        for column, member in columns.items():
            if not _MEMBER.fullmatch(member) or member == META:
                raise ValueError(
                    f"column '{column}' must become a member such as 'image.png' or 'image.1.png', "
                    f"but becomes '{member}'; facts go into `meta`"
                )
            if member.rpartition(".")[2] in _CODE:
                raise ValueError(
                    f"'{member}': files of that kind can run code when they are opened"
                )
            if member in seen:
                raise ValueError(f"columns '{seen[member]}' and '{column}' both become '{member}'")
            seen[member] = column
        return columns

    @model_validator(mode="after")
    def _facts_once(self) -> TableSettings:
        if len(set(self.meta)) != len(self.meta):
            raise ValueError("`meta` names a column twice")
        return self


class ParquetSettings(TableSettings):
    """A Parquet column is read a row group at a time; read ones are kept."""

    cache_mib: Annotated[int, Field(gt=0)] = Field(
        default=256,
        description="Decoded row groups kept by each process, MiB. Too small for the rows that are "
        "shuffled together (`data.shuffle_rows`), and groups are decoded again and again.",
    )
