"""What the tables of a configuration have in common: a base class, and the types of their keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Count", "Filled", "Positive", "Table"]

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Filled = Annotated[str, Field(min_length=1)]


class Table(BaseModel):
    """A TOML table: no key that we do not know, no silent conversion, no change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
