"""What is heard of decision sessions, for sinks besides the journal that the session itself writes to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from data.model.decisions import Role
from data.model.errors import AgentraderError
from data.model.market import MarketView
from data.model.protocols import Journal
from orchestration.communication_log.agents_heard import chat_begun, deaf
from orchestration.communication_log.sinks import Part, tell

_DECIDED = ("action", "confidence", "size", "stop_loss", "take_profit", "clamps")


@dataclass
class _Session:
    """A session under way. It is announced when its price is known, so that the lines come in their order."""

    journal: Journal | None
    run_id: str
    symbol: str
    as_of: Any
    number: int
    of: int
    view: MarketView | None = None
    announced: bool = False

    def announce(self, price: Any) -> None:
        if self.announced:
            return
        self.announced = True
        opened = None if self.view is None else self.view.last.open_time
        agents = [role.shown for role in Role]
        at = {"symbol": self.symbol, "bar_open_time": opened, "as_of": self.as_of, "number": self.number, "of": self.of}
        self._tell("session.begin", {**at, "price": price, "agents": agents})

    def conclude(self, result: Any) -> None:
        if not isinstance(result, Mapping):
            return
        self.announce(result.get("price"))
        self._tell("decision", {"symbol": self.symbol, "as_of": self.as_of, "number": self.number, **_decision(result)})
        self._tell("session.end", {"symbol": self.symbol, "number": self.number, "status": result.get("status")})

    def fail(self, error: Exception) -> None:
        self.announce(None)
        why = str(error) if isinstance(error, AgentraderError) else type(error).__name__
        self._tell("session.failed", {"symbol": self.symbol, "number": self.number, "error": why})

    def _tell(self, kind: str, body: Mapping[str, object]) -> None:
        own = () if self.journal is None else (self.journal,)
        tell(Part.SESSIONS, kind, body, f"{self.run_id}/session", but=own)


_session: ContextVar[_Session | None] = ContextVar("the decision session under way", default=None)


@contextmanager
def watch_session(session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Callable[[Any], None]]:
    """Around `run_session(symbol, as_of, book, *, number, of)`."""
    given = dict(zip(("symbol", "as_of"), args, strict=False)) | kwargs
    under_way = _Session(
        getattr(session, "journal", None),
        str(getattr(session, "run_id", "")),
        str(given.get("symbol")),
        given.get("as_of"),
        int(given.get("number", 1)),
        int(given.get("of", 1)),
    )
    token = _session.set(under_way)
    try:
        yield under_way.conclude
    except Exception as error:
        under_way.fail(error)
        raise
    finally:
        _session.reset(token)


@contextmanager
def watch_session_chat(
    _session_object: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[Callable[[Any], None]]:
    """Around `initiate_chat(view, book, slot_prefix)`."""
    given = dict(zip(("view", "book", "slot_prefix"), args, strict=False)) | kwargs
    under_way, view = _session.get(), given.get("view")
    if under_way is not None and isinstance(view, MarketView):
        under_way.view = view
        under_way.announce(view.price)
    with chat_begun(Part.SESSIONS, [role.agent for role in Role], f"{given.get('slot_prefix')}/chat"):
        yield deaf


def _decision(result: Mapping[str, Any]) -> dict[str, object]:
    decided, failure = result.get("decision"), result.get("failure")
    if isinstance(decided, Mapping):
        return {"status": result.get("status"), **{name: decided.get(name) for name in _DECIDED}, "failure": None}
    return {"status": result.get("status"), "action": None, "failure": failure or {"reason": "unknown", "detail": ""}}
