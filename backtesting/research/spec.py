"""What a sweep asks, as a TOML file says it: read strictly, so that a misspelt word is an error and never a default.

Numbers keep their decimals. Wherever several values make sense, one value, a list, or a range is taken:
`10`, `[5, 10, 20]`, `{ from = 5, to = 50, step = 5 }`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from data.model.errors import UsageError
from data.model.instants import Interval

MOST_POINTS = 1_000_000
Number: TypeAlias = int | Decimal


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)


class Range(_Frozen):
    """Numbers from `from` to `to`, both included, every `step`. Random search may leave the step out."""

    first: Number = Field(alias="from")
    last: Number = Field(alias="to")
    step: Annotated[int | Decimal, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        if self.last < self.first:
            raise ValueError(f"to = {self.last} lies below from = {self.first}")
        if self.step is not None and (self.last - self.first) / self.step >= MOST_POINTS:
            raise ValueError("a range of more than a million numbers")
        return self

    @property
    def values(self) -> tuple[int | Decimal, ...]:
        """Every number of it. Raises UsageError without a step."""
        if self.step is None:
            raise UsageError(f"a grid needs a step: {{ from = {self.first}, to = {self.last}, step = … }}")
        return tuple(map(self.at, range(self.count)))

    @property
    def count(self) -> int:
        """How many numbers it has, with a step."""
        return int((self.last - self.first) / (self.step or 1)) + 1

    def at(self, place: int) -> int | Decimal:
        """The number at that place, from 0 on."""
        return self.first + (self.step or 1) * place


def _several(value: object) -> object:
    """One value is a list of one."""
    return tuple(value) if isinstance(value, list) else value if isinstance(value, dict | tuple) else (value,)


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _interval(value: object) -> object:
    return Interval(value) if isinstance(value, str) else value


def _decimal(value: object) -> object:
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _form(value: object) -> str:
    return "range" if isinstance(value, dict | Range) else "list"


Axis: TypeAlias = Annotated[
    Annotated[tuple[Number, ...], Field(min_length=1), Tag("list")] | Annotated[Range, Tag("range")],
    Discriminator(_form),
    BeforeValidator(_several),
]
Flags: TypeAlias = Annotated[tuple[bool, ...], BeforeValidator(_several), Field(min_length=1)]
Words: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_several), Field(min_length=1)]
Whole: TypeAlias = Annotated[tuple[int, ...], BeforeValidator(_several), Field(min_length=1)]
Money: TypeAlias = Annotated[Decimal, BeforeValidator(_decimal)]


class Window(_Frozen):
    """Session dates, both included."""

    start_on: date
    end_on: date


class Search(_Frozen):
    """`grid` takes every combination; `random` draws `count` different ones, the same ones for the same `seed`."""

    method: Literal["grid", "random"] = "grid"
    count: Annotated[int, Field(ge=1, le=MOST_POINTS)] | None = None
    seed: int | None = None

    @model_validator(mode="after")
    def _whole(self) -> Search:
        if (self.method == "random") != (self.count is not None and self.seed is not None):
            raise ValueError(
                'random needs count and seed, grid takes neither: { method = "random", count = 500, seed = 1 }'
            )
        return self


class StrategyChoice(_Frozen):
    """A strategy by its name, and what to try for each parameter; what is not named keeps its default."""

    name: str
    parameters: Mapping[str, Axis] = Field(default_factory=dict)


class CostChoice(_Frozen):
    """In basis points of the traded value."""

    commission_bps: Axis = (Decimal(10),)
    slippage_bps: Axis = (Decimal(2),)


class LimitChoice(_Frozen):
    """Fractions. `stop_loss` and `take_profit` of the entry price, 0 for none; `volume_cap` of a bar's volume."""

    stop_loss: Axis = (Decimal(0),)
    take_profit: Axis = (Decimal(0),)
    position_size: Axis = (Decimal(1),)
    allow_short: Flags = (False,)
    volume_cap: Money = Decimal("0.1")


class AgentChoice(_Frozen):
    """Runs of the group chat: every model with every seed and protocol. They set their own stops."""

    models: Words
    seeds: Whole | None = None
    protocols: Words = ("group_chat",)
    decide_every: Whole = (1,)
    temperature: Money | None = None
    base_url: str | None = None
    budget_usd: Money | None = None
    max_failures: Annotated[int, Field(ge=1)] = 3


class Spec(_Frozen):
    """One sweep: strategies and agents, each over every symbol and window."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")]
    symbols: Words
    interval: Annotated[Interval, BeforeValidator(_interval)]
    windows: Annotated[tuple[Window, ...], BeforeValidator(_listed), Field(min_length=1)]
    warmup: Annotated[int, Field(ge=0, le=100_000)] = 250
    initial_cash: Money = Decimal(10000)
    search: Search = Search()
    strategies: Annotated[tuple[StrategyChoice, ...], BeforeValidator(_listed)] = ()
    agents: AgentChoice | None = None
    costs: CostChoice = CostChoice()
    limits: LimitChoice = LimitChoice()

    @model_validator(mode="after")
    def _asks_something(self) -> Spec:
        if not self.strategies and self.agents is None:
            raise ValueError("it names neither [[strategies]] nor [agents]")
        if len(set(self.symbols)) != len(self.symbols):
            raise ValueError("a symbol is named twice")
        return self


def read_spec(path: Path) -> Spec:
    """Raises UsageError in one line: which file, which place in it, what is wrong."""
    try:
        found: dict[str, Any] = tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}") from None
    try:
        return Spec.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"] if part not in ("list", "range", "int", "decimal"))
        raise UsageError(
            f"{path}: {where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}"
        ) from None
