"""Which code answers a question about arrays: part of the question, and checked by every worker before it answers."""

from __future__ import annotations

from functools import cache

from data.door import ROOT
from data.model.canonical import digest, sha256_hex
from data.model.errors import UsageError

ANSWERING = (
    "backtesting/accounting/returns.py",
    "backtesting/execution/kernel*.py",
    "backtesting/research/strategies.py",
    "backtesting/research/trials.py",
    "data/model/money.py",
)


@cache
def code_digest() -> str:
    """SHA-256 over the modules that turn bars into a result."""
    paths = sorted(path for name in ANSWERING for path in ROOT.glob(name))
    return digest([[path.name, sha256_hex(path.read_bytes())] for path in paths])


def require_same_code(asked: str) -> None:
    """Raises UsageError on a machine whose checkout would give another answer."""
    if asked != code_digest():
        raise UsageError(
            "this machine's code is not the code the sweep was planned with; bring every machine to one revision, "
            "then run the sweep again"
        )
