"""What the network feeds share: their packages are optional, and a number from them is exact and finite or refused."""

from __future__ import annotations

import logging
from datetime import date
from decimal import Decimal, InvalidOperation
from importlib import import_module
from typing import Any

from data.model.errors import DataError, UsageError

# Their warnings go where the program's own go, or nowhere: what is tried again is told by the feeds themselves.
for _name in ("stamina", "yfinance"):
    logging.getLogger(_name).addHandler(logging.NullHandler())

# Who asks for all there will ever be may name a day behind which there is none, or none that pandas knows.
LAST_DAY = date(2200, 1, 1)
INSTALL = "pip install -r requirements-feeds.txt"


# The packages have no types: `Any` ends in the feed that asked.
def load_feed(package: str) -> Any:
    """The module, loaded when it is needed. Raises UsageError naming what to install."""
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise UsageError(f"this feed needs the package {package}: {INSTALL}") from None


def number(feed: str, where: str, value: object) -> Decimal:
    """Raises DataError for what is absent, NaN or no number."""
    try:
        exact = Decimal(value if isinstance(value, str) else repr(value))
    except InvalidOperation:
        raise DataError(f"{feed}, {where}: {value!r} is not a number; nothing was stored") from None
    if not exact.is_finite():
        raise DataError(f"{feed}, {where}: {value!r} is not a finite number; nothing was stored")
    return exact
