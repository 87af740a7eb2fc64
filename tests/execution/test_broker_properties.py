"""What no market and no order can make the broker do."""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal

from hypothesis import given, settings
from markets import INSTRUMENTS, Market, Played, markets

from data.model.market import AssetClass, FactKind
from data.model.trading import FillReason, Purpose


def has_splits(market: Market) -> bool:
    return any(fact.kind is FactKind.SPLIT for turns in market.steps for turn in turns for fact in turn.actions)


@settings(max_examples=300, deadline=None)
@given(markets())
def test_every_fill_has_a_price_and_a_later_bar(market: Market) -> None:
    played = Played(market)
    for turn, _, fills in played.steps():
        for fill in fills:
            order = played.orders[fill.order_id]
            assert fill.price > 0
            assert fill.reference_price > 0
            assert fill.quantity > 0
            assert fill.quantity % INSTRUMENTS[fill.symbol].lot == 0
            assert fill.commission >= 0
            assert fill.slippage >= 0
            assert fill.bar_open_time == turn.bar.open_time >= order.decided_at
            assert turn.bar.open > 0 or fill.reason is not FillReason.ORDER
            assert (fill.price - fill.reference_price) * fill.side.sign >= 0


@settings(max_examples=300, deadline=None)
@given(markets())
def test_an_order_fills_once_and_what_does_not_fill_is_recorded(market: Market) -> None:
    played = Played(market).to_the_end()
    filled = Counter(fill.order_id for fill in played.desk.fills if fill.reason is FillReason.ORDER)
    assert not filled or max(filled.values()) == 1
    if has_splits(market):
        return
    quantities: dict[str, Decimal] = defaultdict(Decimal)
    for fill in played.desk.fills:
        if fill.reason is FillReason.ORDER:
            quantities[fill.order_id] += fill.quantity
    for ended in played.cancellations:
        assert ended.quantity > 0
        quantities[ended.order_id] += ended.quantity
    assert quantities == {name: order.quantity for name, order in played.orders.items()}


@settings(max_examples=300, deadline=None)
@given(markets())
def test_fills_of_a_bar_stay_within_the_cap(market: Market) -> None:
    played = Played(market)
    for turn, _, fills in played.steps():
        if INSTRUMENTS[turn.bar.symbol].asset_class is not AssetClass.INDEX:
            assert sum(fill.quantity for fill in fills) <= turn.bar.volume * market.limits.volume_cap


@settings(max_examples=300, deadline=None)
@given(markets())
def test_opening_never_takes_buying_power_below_zero(market: Market) -> None:
    played = Played(market)
    for _, before, fills in played.steps():
        for fill in fills:
            if fill.reason is FillReason.ORDER and played.orders[fill.order_id].purpose is Purpose.OPEN:
                value = (fill.quantity * fill.price).quantize(Decimal("1e-8"))
                assert value + fill.commission <= before.buying_power


@settings(max_examples=300, deadline=None)
@given(markets())
def test_positions_only_open_from_nothing_and_close_to_nothing(market: Market) -> None:
    played = Played(market)
    for turn, before, fills in played.steps():
        held = before.position(turn.bar.symbol)
        quantity = held.quantity if held else Decimal(0)
        for fill in fills:
            order = played.orders[fill.order_id]
            opens = fill.reason is FillReason.ORDER and order.purpose is Purpose.OPEN
            assert (quantity == 0) is opens
            after = quantity + fill.side.sign * fill.quantity
            assert opens or (after * quantity >= 0 and abs(after) < abs(quantity))
            assert market.limits.allow_short or after >= 0
            quantity = after
        assert quantity == played.desk.held(turn.bar.symbol)
