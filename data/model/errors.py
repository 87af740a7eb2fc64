"""What can go wrong, by what a user can do about it.

`AgentraderError` carries one line for the user; commands print it without a traceback and exit with `exit_code`.
Anything else that escapes is a bug of ours and crashes. `JournalBroken` is a `BaseException`, because every layer
between the transport and us (httpx, the SDK, AutoGen) turns an `Exception` into what looks like a model's failure.
"""

from __future__ import annotations


class AgentraderError(Exception):
    """Something a user can mend; the message says how."""

    exit_code = 1


class UsageError(AgentraderError):
    """Wrong flag, wrong value, wrong configuration."""

    exit_code = 2


class RunBusy(UsageError):
    """Another process plays the run; nothing was done to it."""


class DataError(AgentraderError):
    """A file or a window of data that cannot be used as it is."""

    exit_code = 2


class SyntheticDataError(DataError):
    """Rows from a generator where only real data may be used."""


class StoreUnavailable(AgentraderError):
    """The database cannot be reached or refuses us; never answered with emptiness."""

    exit_code = 2


class FeedError(AgentraderError):
    """A network source of market data failed or refused."""

    exit_code = 1


class RunIncomplete(AgentraderError):
    """A run stopped before its end; what was done is kept."""

    exit_code = 3


class BudgetExhausted(RunIncomplete):
    """The next call could cost more than what is left of the budget; it was not sent."""


class JournalBroken(BaseException):
    """A record could not be made durable. Nothing may act any more, so nothing may catch this but the command."""

    exit_code = 3
