"""Checks a run's folder: nothing was changed, every reply is a recorded model's, the result follows from the record.

python -m scripts.verify 20250401-…                                      a run's id, or a folder copied from elsewhere
python -m scripts.verify RUN --key project.pub --head 6493-b01c24df…     with what was kept outside of the folder
python -m scripts.verify RUN --against BTCUSDT_1h.csv                    the recorded bars beside those of a file
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from data.command_line import Parser, flags
from data.door import ROOT, enter, run_folder, settings
from data.model.errors import UsageError

if TYPE_CHECKING:
    from data.journal.notes import PublicKey

EXIT = "exit codes: 0 good; 1 tampered, or something differs; 2 wrong use; 3 intact, but the run is incomplete"
MOST_BYTES = 1 << 20


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the value is its exit code."""
    options = build_parser().parse_args(flags(sys.argv[1:] if argv is None else argv))
    return enter(lambda: _verify(options))


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m scripts.verify",
        description=__doc__,
        epilog=EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN", help="a run's id or its folder")
    parser.add_argument(
        "--key", action="append", default=[], metavar="PUB", help="a public key that you trust: a file, or the line"
    )
    parser.add_argument(
        "--head", metavar="HEAD", help="the head that the run printed: <size>-<root>, or a file with it"
    )
    parser.add_argument(
        "--authority", action="append", default=[], type=Path, metavar="PEM", help="a trusted time-stamping root"
    )
    parser.add_argument("--fast", action="store_true", help="leaves, tree and last checkpoint only; derives nothing")
    parser.add_argument("--against", type=Path, metavar="FILE", help="a CSV of bars from elsewhere, to compare with")
    parser.add_argument("--symbol", metavar="S", help="whose bars the file holds, if the run has several symbols")
    parser.add_argument(
        "--database", nargs="?", const="", metavar="URL", help="compare with the database; $DATABASE_URL if not given"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
    return parser


def _verify(options: argparse.Namespace) -> int:
    # Heavy imports wait until the flags are known to be good: --help and a typo answer at once.
    folder = run_folder(options.run)
    trusted, head = _keys(options.key, folder), _head(options.head, folder)
    authorities = [_bytes_of(path, folder) for path in options.authority]

    from backtesting.audit.verdict import prove  # noqa: PLC0415
    from backtesting.core.environment import changed_files  # noqa: PLC0415
    from scripts.verify_bars import compare_bars  # noqa: PLC0415
    from scripts.verify_report import for_people, for_programs  # noqa: PLC0415

    with _progress() as watch:
        proof = prove(
            folder,
            trusted=trusted,
            head=head,
            authorities=authorities,
            fast=options.fast,
            changed_files=changed_files,
            watch=watch,
        )
    compared = compare_bars(proof, options.against, options.symbol, options.database, settings(), ROOT)
    code = proof.exit_code or int(any(each.differs for each in compared))
    own = _own_keys()
    if options.json:
        print(json.dumps(for_programs(proof, compared, code), ensure_ascii=True))
    else:
        print("\n".join(for_people(proof, compared, own)))
    return code


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A live line on a terminal's standard error for what takes longer than two seconds."""
    from time import monotonic  # noqa: PLC0415

    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    console, begun = Console(stderr=True), monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    live = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
    task = live.add_task("verifying", total=None)

    def watch(done: int, of: int) -> None:
        if not live.live.is_started and not live.disable and monotonic() - begun > 2:
            live.start()
        live.update(task, completed=done, total=of)

    try:
        yield watch
    finally:
        live.stop()


def _keys(given: Sequence[str], folder: Path) -> tuple[PublicKey, ...]:
    return tuple(key for each in given for key in _public_keys(each, folder))


def _public_keys(given: str, folder: Path) -> Iterator[PublicKey]:
    """Each line of a file, or the line itself."""
    from data.journal.notes import NoteError, PublicKey  # noqa: PLC0415

    is_line = "+" in given and not Path(given).exists()
    try:
        text = given if is_line else _bytes_of(Path(given), folder).decode()
        found = [PublicKey.parse(line) for line in text.splitlines() if line.strip()]
    except (NoteError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--key {given} is no public key ({error}); python -m scripts.keys export writes one"
        ) from None
    if not found:
        raise UsageError(f"--key {given} holds no public key; python -m scripts.keys export writes one")
    yield from found


def _head(given: str | None, folder: Path) -> str | None:
    """A head as it is, or what a file says: a head, or the last of its checkpoints."""
    if given is None or not Path(given).exists():
        return given
    text = _bytes_of(Path(given), folder).decode(errors="replace")
    notes = text.removesuffix("\n").removesuffix("\n").split("\n\n")
    return text if len(notes) < 2 else "\n\n".join(notes[-2:])


def _bytes_of(path: Path, folder: Path) -> bytes:
    if path.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{path} lies in the run's own folder and proves nothing; give what was kept elsewhere")
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None


def _own_keys() -> frozenset[str]:
    """The fingerprints of this machine's own project keys, if it has any."""
    from data.journal.notes import NoteError, PublicKey  # noqa: PLC0415

    keys = Path(settings().get("AGENTRADER_KEYS") or ROOT / "data" / "keys")
    try:
        lines = (keys / "project.pub").read_text("ascii").splitlines()
        return frozenset(PublicKey.parse(line).fingerprint for line in lines)
    except (OSError, NoteError, UnicodeDecodeError):
        return frozenset()


if __name__ == "__main__":
    raise SystemExit(main())
