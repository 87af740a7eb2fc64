"""raptorbt, an outside oracle, has no wheel for Python 3.13 and later: there the comparison is not collected."""

import sys

collect_ignore = ["test_raptorbt_agrees.py"] if sys.version_info >= (3, 13) else []
