"""Shows, rotates, certifies and exports the keys that sign runs. Private keys never leave their folder.

python -m scripts.keys show
python -m scripts.keys export project.pub                  for: python -m scripts.verify RUN --key project.pub
python -m scripts.keys rotate

The project key can stay at home while a rented machine runs:
  rented$ python -m scripts.keys export rented.pub
  home$   python -m scripts.keys certify rented.pub --name rented-1 > rented.cert
  rented$ python -m scripts.keys certify --accept rented.cert
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data.command_line import Parser, flags
from data.door import ROOT, SystemClock, enter, settings
from data.model.errors import UsageError

if TYPE_CHECKING:
    from data.journal.keyring import Keyring
    from data.journal.notes import PublicKey

EXIT = "exit codes: 0 good; 2 wrong use, or a folder or file that cannot be used"
EXAMPLES = {"certify": "rented.pub --name rented-1", "export": "project.pub"}
AS_WRITTEN = argparse.RawDescriptionHelpFormatter


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the value is its exit code."""
    options = build_parser().parse_args(flags(sys.argv[1:] if argv is None else argv))
    return enter(lambda: _run(options))


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m scripts.keys",
        description=__doc__,
        epilog=EXIT,
        formatter_class=AS_WRITTEN,
        allow_abbrev=False,
    )
    ways = parser.add_subparsers(dest="way", required=True, metavar="show|rotate|certify|export")
    _way(ways, "show", "whose key signs here, its fingerprint and where it lies; makes the key if there is none")
    _way(ways, "rotate", "a new project key, certified by the old one, which is erased")
    certify = _way(ways, "certify", "vouches for a rented machine's key; with --accept, takes the certificate there")
    certify.add_argument("pub", nargs="?", metavar="PUB", help="the machine's public key: a file, or the line itself")
    certify.add_argument("--name", metavar="HOST", help="what to call the machine: letters, digits and ._-")
    certify.add_argument("--accept", type=Path, metavar="FILE", help="on the rented machine: the certificate from home")
    export = _way(ways, "export", "this machine's public key to give away; earlier keys follow it")
    export.add_argument("file", nargs="?", type=Path, metavar="FILE", help="a new file; standard output if not given")
    return parser


def _way(ways: argparse._SubParsersAction[Parser], name: str, about: str) -> argparse.ArgumentParser:
    way = ways.add_parser(
        name,
        help=about,
        description=about,
        epilog=f"example: python -m scripts.keys {f'{name} {EXAMPLES[name]}' if name in EXAMPLES else name}\n\n{EXIT}",
        formatter_class=AS_WRITTEN,
        allow_abbrev=False,
    )
    way.add_argument("--keys", type=Path, metavar="DIR", help="default $AGENTRADER_KEYS, else data/keys")
    way.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
    return way


def _run(options: argparse.Namespace) -> int:
    # Cryptography waits until the flags are known to be good: --help and a typo answer at once.
    from data.journal.keyring import Keyring  # noqa: PLC0415

    folder = options.keys or Path(settings().get("AGENTRADER_KEYS") or ROOT / "data" / "keys")
    keyring = Keyring(folder, SystemClock())
    if options.way == "show":
        found, text = _show(keyring)
    elif options.way == "rotate":
        found, text = _rotate(keyring)
    elif options.way == "export":
        found, text = _export(keyring, options.file)
    elif options.accept is not None:
        found, text = _accept(keyring, options)
    else:
        found, text = _certify(keyring, options)
    # A certificate is UTF-8 wherever it goes.
    sys.stdout.buffer.write((json.dumps(found) + "\n" if options.json else text).encode())
    sys.stdout.flush()
    return 0


def _show(keyring: Keyring) -> tuple[dict[str, object], str]:
    current, *earlier = keyring.own()
    issuer = keyring.issuer()
    host = issuer.chain.host
    home = issuer.chain.signer
    found = {
        **_shown(issuer.key.public),
        "folder": str(keyring.folder),
        "host": None if host is None else {"name": host, "certified_by": _shown(home)},
        "own": _shown(current),
        "earlier": [_shown(key) for key in earlier],
    }
    lines = [
        ("signs as", issuer.key.public.name),
        ("fingerprint", current.fingerprint),
        ("public key", current.text),
        ("folder", str(keyring.folder)),
        ("certified by", "nobody else: this is the project key" if host is None else f"{home.name} {home.fingerprint}"),
        *(("earlier key", key.fingerprint) for key in earlier),
    ]
    return found, "".join(f"{name:13} {value}\n" for name, value in lines)


def _rotate(keyring: Keyring) -> tuple[dict[str, object], str]:
    before, after = keyring.own()[0], keyring.rotate()
    text = f"new project key {after.fingerprint}\nit replaces     {before.fingerprint}, which is erased\n{after.text}\n"
    return {**_shown(after), "replaces": _shown(before)}, text


def _export(keyring: Keyring, file: Path | None) -> tuple[dict[str, object], str]:
    lines = [key.text for key in keyring.own()]
    text = "".join(f"{line}\n" for line in lines)
    if file is None:
        return {"keys": lines, "file": None}, text
    try:
        with file.open("x", encoding="ascii") as opened:
            opened.write(text)
    except FileExistsError:
        raise UsageError(f"{file} exists already; name a new file") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror or error}") from None
    return {"keys": lines, "file": str(file)}, f"{file}\n"


def _certify(keyring: Keyring, options: argparse.Namespace) -> tuple[dict[str, object], str]:
    if not (options.pub and options.name):
        raise UsageError("say whose key and what to call the machine: certify PUB --name HOST")
    key = _public_key(options.pub)
    certificate = keyring.certify_host(key, options.name)
    return {"host": options.name, "fingerprint": key.fingerprint, "certificate": certificate}, certificate


def _accept(keyring: Keyring, options: argparse.Namespace) -> tuple[dict[str, object], str]:
    if options.pub or options.name:
        raise UsageError("certify --accept FILE takes neither a key nor a name: both are in the certificate")
    chain = keyring.accept(_bytes_of(options.accept))
    text = f"this machine signs as {chain.subject.key.name}, certified by {chain.signer.fingerprint}\n"
    return {"host": chain.subject.name, "key": _shown(chain.subject.key), "certified_by": _shown(chain.signer)}, text


def _public_key(given: str) -> PublicKey:
    """The first line of a file, or the line itself."""
    from data.journal.notes import NoteError, PublicKey  # noqa: PLC0415

    try:
        line = given if "+" in given and not Path(given).is_file() else _bytes_of(Path(given)).decode().split("\n")[0]
        return PublicKey.parse(line)
    except (NoteError, UnicodeDecodeError):
        raise UsageError(f"{given} is no public key; on the rented machine: python -m scripts.keys export") from None


def _bytes_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(1 << 20)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None


def _shown(key: PublicKey) -> dict[str, object]:
    return {"name": key.name, "fingerprint": key.fingerprint, "vkey": key.text}


if __name__ == "__main__":
    raise SystemExit(main())
