"""Packs a finished run for somebody else: `certificate.html`, which checks the run in the reader's browser, beside
`run-<id>.tar.zst`, whose digest it names. The run is verified first; what does not hold is not shared.

python -m scripts.share 20250401-…                          into data/shared/<id>
python -m scripts.share RUN --output elsewhere --json        digests for programs
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data.door import ROOT, enter, flags, run_folder
from data.model.errors import UsageError
from data.model.escape import escape_line

if TYPE_CHECKING:
    from backtesting.audit.sharing import Handout

EXIT = "exit codes: 0 good; 1 the run does not hold, nothing was shared; 2 wrong use; 3 the run is incomplete"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the value is its exit code."""
    options = build_parser().parse_args(flags(sys.argv[1:] if argv is None else argv))
    return enter(lambda: _share(options))


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.share",
        description=__doc__,
        epilog=f"example: python -m scripts.share 20250401-093000-btcusdt-1h-5f0c2a\n\n{EXIT}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN", help="a run's id or its folder")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where to write; default data/shared/<id>")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
    return parser


def _share(options: argparse.Namespace) -> int:
    folder = run_folder(options.run)
    target = options.output or ROOT / "data" / "shared" / folder.resolve().name
    if target.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{target} lies in the run's own folder, which stays as it is; give another --output")

    # Heavy imports wait until the flags are known to be good: --help and a typo answer at once.
    from backtesting.audit.sharing import share  # noqa: PLC0415
    from backtesting.core.environment import changed_files  # noqa: PLC0415

    try:
        made = share(folder, target, changed_files)
    except OSError as error:
        raise UsageError(f"{error.filename or target}: {error.strerror or error}") from None
    print(json.dumps(_for_programs(made)) if options.json else "\n".join(_for_people(made)))
    return 0


def _for_people(made: Handout) -> list[str]:
    bundle = made.bundle
    lines = [
        ("certificate", str(made.certificate)),
        ("run", f"{made.certificate.parent / bundle.name}  ({bundle.size:,} bytes, {len(bundle.files)} files)"),
        ("sha256", bundle.sha256),
        ("head", made.head),
        ("verdict", made.verdict),
    ]
    told = [f"{name:12} {escape_line(value)}" for name, value in lines]
    return [*told, "Send both files, and the head by another way: a page alone proves nothing about its sender."]


def _for_programs(made: Handout) -> dict[str, object]:
    bundle = made.bundle
    return {
        "run_id": made.run_id,
        "verdict": made.verdict,
        "head": made.head,
        "certificate": str(made.certificate),
        "certificate_sha256": made.certificate_sha256,
        "bundle": str(made.certificate.parent / bundle.name),
        "bundle_bytes": bundle.size,
        "bundle_sha256": bundle.sha256,
        "tar_bytes": bundle.tar_size,
        "tar_sha256": bundle.tar_sha256,
        "files": list(bundle.files),
    }


if __name__ == "__main__":
    raise SystemExit(main())
