"""Rule 8: money adds up exactly, at every bar, whatever the market and the agents do; kept apart in fractions here."""

from __future__ import annotations

from decimal import ROUND_DOWN, Context, Decimal, Inexact, localcontext
from fractions import Fraction

from hypothesis import given, settings
from markets import INSTRUMENTS, Market, Played, exact, markets

from data.model.canonical import digest
from data.model.trading import Fill

CENT8 = 10**8


def rounded(value: Fraction) -> Fraction:
    """Half to even at 1e-8, as `round` does it for a Fraction."""
    return Fraction(round(value * CENT8), CENT8)


def paid(fill: Fill) -> Fraction:
    """What a fill takes out of cash."""
    return fill.side.sign * rounded(exact(fill.quantity) * exact(fill.price)) + exact(fill.commission)


@settings(max_examples=300, deadline=None)
@given(markets())
def test_cash_and_positions_are_equity_at_every_bar(market: Market) -> None:
    played = Played(market)
    for _ in played.steps():
        row = played.desk.rows[-1]
        worth = sum((exact(q) * exact(dict(row.marks)[symbol]) for symbol, q in row.quantities), Fraction(0))
        assert exact(row.cash) + worth == exact(row.equity)
        assert row.cash == row.cash.quantize(Decimal("1e-8"))
        assert all(quantity % INSTRUMENTS[symbol].lot == 0 and quantity for symbol, quantity in row.quantities)


@settings(max_examples=300, deadline=None)
@given(markets())
def test_cash_is_what_fills_dividends_and_fractions_made_of_it(market: Market) -> None:
    played = Played(market).to_the_end()
    spent = sum((paid(fill) for fill in played.desk.fills), Fraction(0))
    received = sum((rounded(exact(held) * exact(f.value)) for held, f in played.dividends if f.value), Fraction(0))
    received += sum((exact(after) - exact(before) for before, after in played.in_lieu), Fraction(0))
    assert exact(played.desk.book.cash) == exact(market.cash) - spent + received


@settings(max_examples=300, deadline=None)
@given(markets())
def test_what_is_earned_is_the_profits_of_trades_and_of_what_is_open(market: Market) -> None:
    played = Played(market).to_the_end()
    book = played.desk.book
    closed = sum((exact(trade.profit) for trade in played.desk.ledger.trades()), Fraction(0))
    flows = sum((exact(holding.flow) for holding in played.desk.ledger._held.values()), Fraction(0))
    assert exact(book.cash) == exact(market.cash) + closed + flows
    if not book.positions:
        assert book.equity == book.cash


@settings(max_examples=200, deadline=None)
@given(markets())
def test_broker_and_ledger_hold_the_same(market: Market) -> None:
    played = Played(market)
    for _ in played.steps():
        held = {symbol: (h.quantity, h.stop, h.target) for symbol, h in played.desk.broker._held.items()}
        assert held == {p.symbol: (p.quantity, p.stop_price, p.target_price) for p in played.desk.book.positions}


@settings(max_examples=100, deadline=None)
@given(markets())
def test_no_digit_depends_on_the_callers_decimal_context(market: Market) -> None:
    def result() -> str:
        played = Played(market)
        for _ in played.steps():
            pass
        desk = played.desk
        return digest([played.decisions, desk.fills, played.cancellations, desk.rows, desk.ledger.trades(), desk.book])

    plain = result()
    with localcontext(Context(prec=3, rounding=ROUND_DOWN, traps=[Inexact])):
        assert result() == plain
