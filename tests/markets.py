"""Random markets for properties: several symbols, gaps, splits, dividends, and what agents might say about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from random import Random

from hypothesis import strategies as st
from tape import START, Desk, bar, dec, instrument

from data.model.decisions import Decision, Opinion, Role
from data.model.market import AssetClass, Bar, Fact, FactKind
from data.model.question import Costs, Limits
from data.model.trading import Action, Book, Cancellation, Fill, Order
from orchestration.policy.decide import decide

INSTRUMENTS = {
    "A": instrument("A"),
    "B": instrument("B", lot="0.00000001", least=5, kind=AssetClass.CRYPTO),
    "I": instrument("I", lot="0.01", kind=AssetClass.INDEX),
}


@dataclass(frozen=True)
class Turn:
    """One bar of one symbol, what happens to its shares before it, and what the agents say after it."""

    bar: Bar
    actions: tuple[Fact, ...]
    said: Opinion


@dataclass(frozen=True)
class Market:
    costs: Costs
    limits: Limits
    cash: Decimal
    steps: tuple[tuple[Turn, ...], ...]


@dataclass
class Played:
    """A market played to its end; `check` is called after every bar."""

    market: Market
    decisions: list[Decision] = field(default_factory=list)
    orders: dict[str, Order] = field(default_factory=dict)
    cancellations: list[Cancellation] = field(default_factory=list)
    dividends: list[tuple[Decimal, Fact]] = field(default_factory=list)
    in_lieu: list[tuple[Decimal, Decimal]] = field(default_factory=list)

    def __post_init__(self) -> None:
        market = self.market
        self.desk = Desk(INSTRUMENTS, market.costs, market.cash, market.limits.volume_cap)

    def steps(self) -> Iterator[tuple[Turn, Book, tuple[Fill, ...]]]:
        """Plays turn by turn: the turn, the book before its fills, and the fills. Decides after each step."""
        desk = self.desk
        for turns in self.market.steps:
            for turn in turns:
                self._act(turn)
                before, filled = desk.book, len(desk.fills)
                outcome = desk.step(turn.bar)
                self.cancellations += outcome.cancellations
                yield turn, before, tuple(desk.fills[filled:])
            book = desk.book
            for turn in turns:
                self._decide(turn, book)
        self.cancellations += desk.broker.at_end(START)

    def to_the_end(self) -> Played:
        for _ in self.steps():
            pass
        return self

    def _act(self, turn: Turn) -> None:
        for fact in turn.actions:
            before, held = self.desk.book.cash, self.desk.held(fact.symbol)
            self.desk.ledger.apply_action(fact, turn.bar.open_time)
            if fact.kind is FactKind.SPLIT:
                self.desk.broker.apply_split(fact)
                self.in_lieu.append((before, self.desk.book.cash))
            else:
                self.dividends.append((held, fact))

    def _decide(self, turn: Turn, book: Book) -> None:
        decision = decide(
            turn.bar.symbol,
            turn.bar.known_at,
            {Role.DECISION: turn.said},
            "group_chat",
            book,
            turn.bar.close,
            INSTRUMENTS[turn.bar.symbol],
            self.market.limits,
            self.market.costs,
        )
        self.decisions.append(decision)
        for order in decision.orders:
            self.orders[order.order_id] = order
            self.desk.broker.submit(order)


def exact(value: Decimal) -> Fraction:
    return Fraction(value)


def market(seed: int, steps: int) -> Market:
    """The market of a seed: cheap to draw, and a failing one shrinks to its first steps."""
    dice = Random(seed)
    points, part = ["0", "2.5", "30", "1000"], ["0.05", "0.333", "1"]
    return Market(
        costs=Costs(commission_bps=Decimal(dice.choice(points)), slippage_bps=Decimal(dice.choice(points))),
        limits=Limits(
            position_size=Decimal(dice.choice(part)),
            max_exposure=Decimal(dice.choice([*part, "1"])),
            allow_short=dice.random() < 0.6,
            volume_cap=Decimal(dice.choice(part)),
        ),
        cash=Decimal(dice.choice(["10000", "777.77777777", "25000000"])),
        # A sixth of all bars is missing.
        steps=tuple(
            tuple(_turn(dice, number, symbol) for symbol in INSTRUMENTS if dice.randrange(6)) for number in range(steps)
        ),
    )


def markets(most: int = 25) -> st.SearchStrategy[Market]:
    return st.builds(market, st.integers(0, 2**32), st.integers(1, most))


def _turn(dice: Random, number: int, symbol: str) -> Turn:
    facts = []
    if symbol != "I" and dice.random() < 0.1:
        ratio = dice.choice(["2", "10", "0.1", "1.5", "0.3333333333333333333333333333", "0.05"])
        facts.append(_fact(FactKind.SPLIT, ratio, symbol))
    if symbol == "A" and dice.random() < 0.15:
        facts.append(_fact(FactKind.DIVIDEND, dice.choice(["0.24", "1.333333333333", "5"]), symbol))
    return Turn(_bar(dice, number, symbol), tuple(facts), opinion(dice))


def _bar(dice: Random, number: int, symbol: str) -> Bar:
    """Mostly within a few percent of 100, so that stops and targets matter; sometimes anywhere, even below zero."""
    if dice.random() < 0.15:
        prices = [Decimal(dice.randrange(-500, 100_000)).scaleb(-2) for _ in range(4)]
    else:
        prices = [Decimal(dice.randrange(9_000_000_000, 11_000_000_000)).scaleb(-8) for _ in range(4)]
    volume = dice.choice(["0", "3", "500", "77777.123", "1000000000", "1000000000"])
    return bar(number, (prices[0], max(prices), min(prices), prices[3]), volume, symbol)


def _fact(kind: FactKind, value: str, symbol: str) -> Fact:
    day = bar(0).open_time
    return Fact(symbol, kind, "", day, "test", value=dec(value), effective_on=day.date())


def opinion(dice: Random, role: Role = Role.DECISION) -> Opinion:
    """Anything that the schema lets pass."""

    def fraction(most: int) -> Decimal | None:
        return None if dice.random() < 0.3 else Decimal(dice.randrange(most)).scaleb(-3)

    return Opinion(
        role=role,
        action=dice.choice(list(Action)),
        confidence=Decimal(dice.randrange(1001)).scaleb(-3),
        reasons=("said",),
        size=fraction(1001),
        stop_loss=fraction(dice.choice([100, 1001])),
        take_profit=fraction(dice.choice([100, 1500])),
    )
