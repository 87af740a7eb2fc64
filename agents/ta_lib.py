"""TA-Lib over plain arrays, without the pandas that it imports for callers who hand it a Series.

Nobody does here, and pandas costs every run half a second and some 70 MB.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType


def _alone() -> ModuleType:
    """Imported as if there were no pandas, unless somebody has it already. A later `import pandas` works as ever."""
    if "pandas" in sys.modules:
        return importlib.import_module("talib")
    sys.modules["pandas"] = None  # type: ignore[assignment]  # what Python looks up to refuse an import
    try:
        return importlib.import_module("talib")
    finally:
        del sys.modules["pandas"]


talib = _alone()
