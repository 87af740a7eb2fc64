"""Money over real bars with their traps: 63,952 hours of bitcoin, crude oil below zero, a split of ten for one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

from markets import exact
from tape import START, Desk, instrument, real_bars

from data.model.instants import Interval
from data.model.market import AssetClass, Bar, Fact, FactKind, Instrument
from data.model.question import Costs, Limits
from data.model.trading import Action, Cancellation, Ending, FillReason
from orchestration.policy.consensus import Proposal
from orchestration.policy.sizing import orders

COSTS = Costs()
LIMITS = Limits(allow_short=True, position_size=Decimal("0.5"))


def play(bars: Iterator[Bar], traded: Instrument, actions: tuple[Fact, ...] = ()) -> tuple[Desk, list[Cancellation]]:
    """Follows each bar's direction, long and short, with stop and target; checks the sum after every bar."""
    desk, cancellations, last, waiting = Desk({"X": traded}, COSTS), [], None, list(actions)
    for bar in bars:
        while waiting and waiting[0].effective_on == bar.session_on:
            desk.ledger.apply_action(waiting[0], bar.open_time)
            desk.broker.apply_split(waiting.pop(0))
        cancellations += desk.step(bar).cancellations
        row = desk.rows[-1]
        assert sum((exact(q) * exact(dict(row.marks)[s]) for s, q in row.quantities), exact(row.cash)) == row.equity
        if last is not None:
            action = Action.BUY if bar.close > last else Action.SELL
            proposal = Proposal(action, Decimal(1), None, Decimal("0.03"), Decimal("0.06"))
            book = desk.ledger.book(bar.known_at)
            for order in orders(proposal, book, traded, bar.close, LIMITS, COSTS)[0]:
                desk.broker.submit(order)
        last = bar.close
    return desk, cancellations


def test_seven_years_of_bitcoin(shared_data: Path) -> None:
    coin = instrument(lot="0.00000001", least=5, kind=AssetClass.CRYPTO)
    desk, _ = play(real_bars(shared_data / "crypto_spot" / "BTCUSDT_1h.csv.gz", Interval.H1), coin)
    assert len(desk.rows) == 63_952
    assert {trade.reason for trade in desk.ledger.trades()} == {FillReason.ORDER, FillReason.STOP, FillReason.TARGET}
    flows = sum((exact(trade.profit) for trade in desk.ledger.trades()), exact(Decimal(100_000)))
    open_flows = sum((exact(holding.flow) for holding in desk.ledger._held.values()), flows)
    assert open_flows == exact(desk.book.cash)


def test_crude_oil_below_zero(shared_data: Path) -> None:
    bars = list(real_bars(shared_data / "futures_daily" / "CL=F_1d.csv.gz", Interval.D1))
    desk, cancellations = play(iter(bars), instrument(kind=AssetClass.FUTURE))
    assert min(bar.low for bar in bars) < 0 < min(fill.price for fill in desk.fills)
    assert any(ended.ending is Ending.VOLUME_CAP for ended in cancellations)  # rows without volume


def test_what_was_held_into_a_negative_settlement_is_sold_at_the_next_positive_open(shared_data: Path) -> None:
    bars = {bar.session_on: bar for bar in real_bars(shared_data / "futures_daily" / "CL=F_1d.csv.gz", Interval.D1)}
    days = [date(2020, 4, day) for day in (16, 17, 20, 21, 22)]
    barrel = instrument(kind=AssetClass.FUTURE)
    desk, endings = Desk({"X": barrel}, COSTS), []
    for day, action in zip(days, (Action.BUY, Action.HOLD, Action.SELL, Action.SELL, Action.HOLD), strict=True):
        endings += [ended.ending for ended in desk.step(bars[day]).cancellations]
        book = desk.ledger.book(bars[day].known_at)
        proposal = Proposal(action, Decimal(1))
        for order in orders(proposal, book, barrel, bars[day].close, LIMITS, COSTS)[0]:
            desk.broker.submit(order)
    assert endings == [Ending.NO_PRICE]  # the open of -14 on the 21st
    assert desk.rows[2].equity < 0
    (trade,) = desk.ledger.trades()
    assert trade.exit_at == bars[date(2020, 4, 22)].open_time
    assert desk.book.equity == desk.book.cash == 100_000 + trade.profit


def test_a_split_of_ten_for_one(shared_data: Path) -> None:
    path = shared_data / "us_equity_daily" / "unadjusted" / "NVDA_1d.csv.gz"
    day = date(2024, 6, 10)
    split = Fact("X", FactKind.SPLIT, "", START, "test", value=Decimal(10), effective_on=day)
    bars = list(real_bars(path, Interval.D1))
    desk, _ = play(iter(bars), instrument(), (split,))
    place = next(number for number, bar in enumerate(bars) if bar.session_on == day)
    assert bars[place - 1].close / bars[place].close > 9
    before, after = desk.rows[place - 1], desk.rows[place]
    assert before.quantities
    assert abs(after.equity / before.equity - 1) < Decimal("0.03")
    for trade in desk.ledger.trades():
        assert abs(trade.exit_price / trade.entry_price - 1) < Decimal("0.3")
