"""Changes to a finished run, each with what a reader must be told: with key and head pinned outside, and without.

An attack returns the number of the first record that it touches, None where it touches none, `...` where that is open.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace

from crime_scene import Json, Victim, issue

from backtesting.audit.renderings import render, write_renderings
from data.journal.changes import Kind
from data.journal.notes import SigningKey
from data.model.canonical import canonical_bytes, sha256_hex

RENDERINGS = (
    *("spec.json", "decisions.csv", "trades.csv", "equity.csv", "metrics.json", "report.html", "agent_comms.log"),
)  # fmt: skip


@dataclass(frozen=True)
class Unseen:
    """Nothing shows it. `says` is what the result is, `remark` a warning that it leaves."""

    says: str = "RESULT RE-DERIVED"
    remark: str | None = None


INCOMPLETE = "INCOMPLETE"
DIFFERS = Unseen("RESULT DIFFERS")
UNSEEN = Unseen()

Outcome = Kind | Unseen | str
Deed = Callable[[Victim], object]


@dataclass(frozen=True)
class Attack:
    """`pinned` and `bare` are what the two readers must be told."""

    name: str
    deed: Deed
    pinned: Outcome
    bare: Outcome
    stamped: bool


ATTACKS: list[Attack] = []


def attack(name: str, pinned: Outcome, bare: Outcome | None = None, *, stamped: bool = False) -> Callable[[Deed], Deed]:
    """`stamped`: on a run with time stamps."""

    def enlist(deed: Deed) -> Deed:
        ATTACKS.append(Attack(name, deed, pinned, pinned if bare is None else bare, stamped))
        return deed

    return enlist


def says(text: str) -> Callable[[Json], None]:
    """A change of what an agent said."""

    def change(record: Json) -> None:
        record["body"]["text"] = text

    return change


def later(record: Json) -> None:
    """A change of when something was written."""
    record["at"] = record["at"].replace("T", "T")[:-2] + ("1Z" if record["at"][-2] != "1" else "2Z")


def dearer(record: Json) -> None:
    record["body"]["bar"]["close"] = "99999"


# One bit in every file.


@attack("bit flip in the log", Kind.EDITED)
def _(victim: Victim) -> object:
    place = victim.place("agent.reply")
    victim.rewrite(place, lambda line: line[:-40] + bytes([line[-40] ^ 1]) + line[-39:])
    return place


@attack("bit flip in a line's end", Kind.EDITED)
def _(victim: Victim) -> object:
    data = victim.path("log.jsonl").read_bytes()
    place = victim.place("opinion")
    end = len(b"\n".join(victim.lines[: place + 1]))
    victim.path("log.jsonl").write_bytes(data[:end] + b"\x0b" + data[end + 1 :])
    return place


@attack("bit flip in a checkpoint", Kind.EDITED_CHECKPOINT)
def _(victim: Victim) -> object:
    victim.flip("checkpoints")
    return ...


@attack("bit flip in run.pub", Kind.FORGED_CERTIFICATE)
def _(victim: Victim) -> object:
    path = victim.path("run.pub")
    path.write_bytes(path.read_bytes().replace(b"\n20", b"\n21", 1))
    return None


@attack("bit flip in a blob", Kind.REPLACED_BLOB)
def _(victim: Victim) -> object:
    victim.flip(_blob(victim))
    return victim.place("market.view", 0)


def _flipped(name: str) -> Deed:
    def deed(victim: Victim) -> object:
        victim.flip(name)
        return victim.place("rendered", 0)

    return deed


for each in RENDERINGS:
    attack(f"bit flip in {each}", Kind.EDITED_RENDERING)(_flipped(each))


@attack("bit flip in a time stamp", Kind.FORGED_STAMP, stamped=True)
def _(victim: Victim) -> object:
    victim.flip("anchors/head.tsr", 0.6)
    return ...


# Records.


@attack("a reply is edited", Kind.EDITED)
def _(victim: Victim) -> object:
    place = victim.place("agent.reply")
    victim.change(place, says("Sell."))
    return place


@attack("the first record is edited", Kind.EDITED)
def _(victim: Victim) -> object:
    victim.change(0, lambda record: record["body"].update(bars_in_window=47))
    return 0


@attack("the last record is edited", Kind.EDITED)
def _(victim: Victim) -> object:
    last = len(victim.lines) - 1
    victim.change(last, later)
    return last


@attack("a time is forged", Kind.EDITED)
def _(victim: Victim) -> object:
    place = victim.place("llm.response")
    victim.change(place, later)
    return place


@attack("a bar is changed", Kind.EDITED)
def _(victim: Victim) -> object:
    place = victim.place("bar")
    victim.change(place, dearer)
    return place


@attack("a reply is copied into another's place", Kind.EDITED)
def _(victim: Victim) -> object:
    lines, place = victim.lines, victim.place("agent.reply")
    text = json.loads(lines[victim.place("agent.reply", 1)])["body"]["text"]
    victim.change(place, says(text))
    return place


@attack("a record is a copy of another, in its place", Kind.DUPLICATED)
def _(victim: Victim) -> object:
    lines, place = victim.lines, victim.place("agent.reply")
    lines[place] = lines[victim.place("agent.reply", 1)]
    victim.lines = lines
    return place


@attack("the run is given another id", Kind.EDITED)
def _(victim: Victim) -> object:
    victim.change(0, lambda record: record["body"].update(run_id="run-99"))
    return 0


@attack("a record is deleted", Kind.DELETED)
def _(victim: Victim) -> object:
    place = victim.place("llm.response")
    victim.lines = [line for at, line in enumerate(victim.lines) if at != place]
    return place


@attack("a record is deleted and the rest renumbered", Kind.DELETED)
def _(victim: Victim) -> object:
    place = victim.place("decision")
    victim.lines = [line for at, line in enumerate(victim.lines) if at != place]
    victim.renumber(place)
    return place


@attack("ten records are deleted", Kind.DELETED)
def _(victim: Victim) -> object:
    place = victim.place("agent.generating")
    victim.lines = [line for at, line in enumerate(victim.lines) if not place <= at < place + 10]
    return place


@attack("the first record is deleted", Kind.DELETED)
def _(victim: Victim) -> object:
    victim.lines = victim.lines[1:]
    return 0


@attack("a record is inserted", Kind.INSERTED)
def _(victim: Victim) -> object:
    lines, place = victim.lines, victim.place("agent.reply")
    victim.lines = [*lines[:place], lines[place].replace(b'"text":"', b'"text":"No. '), *lines[place:]]
    return place


@attack("a record is inserted and the rest renumbered", Kind.INSERTED)
def _(victim: Victim) -> object:
    lines, place = victim.lines, victim.place("agent.reply")
    made = lines[place].replace(b'"text":"', b'"text":"No. ')
    victim.lines = [*lines[:place], made, *lines[place:]]
    victim.renumber(place + 1)
    return place


@attack("a record is duplicated", Kind.DUPLICATED)
def _(victim: Victim) -> object:
    lines, place = victim.lines, victim.place("fill", 0)
    victim.lines = [*lines[: place + 1], *lines[place:]]
    return place + 1


@attack("two records change places", Kind.REORDERED)
def _(victim: Victim) -> object:
    lines, place = victim.lines, victim.place("opinion")
    lines[place], lines[place + 1] = lines[place + 1], lines[place]
    victim.lines = lines
    return place


@attack("two records far apart change places", Kind.REORDERED)
def _(victim: Victim) -> object:
    lines, place = victim.lines, victim.place("opinion")
    lines[place], lines[-20] = lines[-20], lines[place]
    victim.lines = lines
    return place


@attack("two records change places and numbers", Kind.REORDERED)
def _(victim: Victim) -> object:
    lines, place = victim.lines, victim.place("equity")
    one, other = (json.loads(line) for line in lines[place : place + 2])
    one["audit.seq"], other["audit.seq"] = place + 1, place
    lines[place : place + 2] = canonical_bytes(other), canonical_bytes(one)
    victim.lines = lines
    return place


# What is cut off, and what is put behind.


@attack("the log is truncated", Kind.TRUNCATED)
def _(victim: Victim) -> object:
    victim.lines = victim.lines[:200]
    return 200


@attack("the log is cut within a line", Kind.TRUNCATED)
def _(victim: Victim) -> object:
    data = victim.path("log.jsonl").read_bytes()
    whole = data[: len(data) // 2]
    victim.path("log.jsonl").write_bytes(whole)
    return whole.count(b"\n")


@attack("the log is emptied", Kind.TRUNCATED)
def _(victim: Victim) -> object:
    victim.path("log.jsonl").write_bytes(b"")
    return 0


@attack("the run's end is removed", Kind.TRUNCATED)
def _(victim: Victim) -> object:
    place = victim.place("run.end", 0)
    victim.lines = victim.lines[:place]
    return place


@attack("everything is truncated", Kind.TRUNCATED, INCOMPLETE)
def _(victim: Victim) -> object:
    size = _truncate(victim, 0.6)
    _forget_end(victim)
    return size


@attack("everything is truncated and rendered again", Kind.TRUNCATED, INCOMPLETE)
def _(victim: Victim) -> object:
    size = _truncate(victim, 0.3)
    write_renderings(victim.folder)
    return size


@attack("a record is appended", Kind.APPENDED)
def _(victim: Victim) -> object:
    lines = victim.lines
    made = json.loads(lines[-1]) | {"audit.seq": len(lines), "kind": "fill"}
    victim.lines = [*lines, canonical_bytes(made)]
    return len(lines)


@attack("bytes are appended to the log", Kind.APPENDED)
def _(victim: Victim) -> object:
    size = len(victim.lines)
    with victim.path("log.jsonl").open("ab") as file:
        file.write(b'{"at":"20')
    return size


@attack("bytes are appended to the checkpoints", Kind.APPENDED)
def _(victim: Victim) -> object:
    with victim.path("checkpoints").open("ab") as file:
        file.write(b"agentrader/run/")
    return len(victim.lines)


# Checkpoints.


@attack("a checkpoint is dropped", Kind.DROPPED_CHECKPOINT)
def _(victim: Victim) -> object:
    notes, points = victim.notes, victim.points
    victim.notes = notes[:50] + notes[51:]
    return points[49].size


@attack("the first checkpoint is dropped", Kind.DROPPED_CHECKPOINT)
def _(victim: Victim) -> object:
    victim.notes = victim.notes[1:]
    return 0


@attack("the last checkpoints are dropped", Kind.DROPPED_CHECKPOINT, INCOMPLETE)
def _(victim: Victim) -> object:
    last = len(victim.lines) - 1
    victim.notes = victim.notes[:-6]
    return last


@attack("the last checkpoints of a stamped run are dropped", Kind.DROPPED_CHECKPOINT, stamped=True)
def _(victim: Victim) -> object:
    victim.notes = victim.notes[:-6]
    return ...


@attack("all checkpoints are dropped", Kind.DROPPED_CHECKPOINT, INCOMPLETE)
def _(victim: Victim) -> object:
    victim.path("checkpoints").write_bytes(b"")
    return len(victim.lines) - 1


@attack("the file of checkpoints is removed", Kind.MISSING_FILE)
def _(victim: Victim) -> object:
    victim.path("checkpoints").unlink()
    return None


@attack("a record is edited and every hash rebuilt, without a key", Kind.EDITED_CHECKPOINT)
def _(victim: Victim) -> object:
    place = victim.place("agent.reply")
    old, points = victim.notes, victim.points
    victim.change(place, says("Sell."))
    victim.sign(victim.run_key, [point.size for point in points])
    forged = [
        f"{new.rpartition(chr(10) * 2)[0]}\n\n{note.rpartition(chr(10) * 2)[2]}"
        for new, note in zip(victim.notes, old, strict=True)
    ]
    victim.notes = forged
    return max(point.size for point in points if point.size <= place)


@attack("signatures are re-encoded", Kind.RE_ENCODED_CHECKPOINT)
def _(victim: Victim) -> object:
    return _respell(victim, lambda note: _other_ending(note, 1))


@attack("a signature is re-encoded with the second other ending", Kind.RE_ENCODED_CHECKPOINT)
def _(victim: Victim) -> object:
    return _respell(victim, lambda note: _other_ending(note, 2))


@attack("a signature is re-encoded with the third other ending", Kind.RE_ENCODED_CHECKPOINT)
def _(victim: Victim) -> object:
    return _respell(victim, lambda note: _other_ending(note, 3))


@attack("a signature loses its padding", Kind.RE_ENCODED_CHECKPOINT)
def _(victim: Victim) -> object:
    return _respell(victim, lambda note: note.replace("=\n", "\n") if note.endswith("=\n") else note)


@attack("a checkpoint gets a blank", Kind.RE_ENCODED_CHECKPOINT)
def _(victim: Victim) -> object:
    return _respell(victim, lambda note: note[:-1] + " \n")


@attack("a checkpoint gets carriage returns", Kind.RE_ENCODED_CHECKPOINT)
def _(victim: Victim) -> object:
    return _respell(victim, lambda note: note.replace("=\n", "=\r\n"))


@attack("a checkpoint is repeated", Kind.REPEATED_CHECKPOINT)
def _(victim: Victim) -> object:
    notes, points = victim.notes, victim.points
    victim.notes = [*notes[:51], notes[50], *notes[51:]]
    return points[49].size


@attack("an early checkpoint stands at the end", Kind.REPEATED_CHECKPOINT)
def _(victim: Victim) -> object:
    notes, points = victim.notes, victim.points
    victim.notes = [*notes, notes[50]]
    return points[49].size


@attack("two checkpoints change places", Kind.DROPPED_CHECKPOINT)
def _(victim: Victim) -> object:
    notes, points = victim.notes, victim.points
    notes[50], notes[51] = notes[51], notes[50]
    victim.notes = notes
    return points[49].size


@attack("a fork: another checkpoint of one size", Kind.FORK)
def _(victim: Victim) -> object:
    size = victim.points[-1].size
    lines = [*victim.lines[:-1], b"{}"]
    victim.notes = [*victim.notes, victim.checkpoint(size, lines, size - 1)]
    return size - 1


@attack("a fork: a shorter checkpoint behind", Kind.FORK)
def _(victim: Victim) -> object:
    lines = [*victim.lines[:99], b"{}"]
    victim.notes = [*victim.notes, victim.checkpoint(100, lines, 98)]
    return 98


@attack("a checkpoint lists leaves of the one before once more", Kind.REPEATED_CHECKPOINT)
def _(victim: Victim) -> object:
    notes, points = victim.notes, victim.points
    start = points[49].size - 1
    notes[50] = victim.checkpoint(points[50].size, victim.lines, start)
    victim.notes = notes
    return start


@attack("a fork: another root over the same leaves", Kind.FORK)
def _(victim: Victim) -> object:
    notes, points = victim.notes, victim.points
    wrong = replace(points[50], root=bytes(32))
    notes[50] = victim.run_key.sign(wrong.text())
    victim.notes = notes
    return points[49].size


@attack("a checkpoint of another run", Kind.FOREIGN_CHECKPOINT)
def _(victim: Victim) -> object:
    notes, points = victim.notes, victim.points
    other = victim.other.notes
    notes[50] = other[50]
    victim.notes = notes
    return points[49].size


@attack("the run's key signs in another log's name", Kind.FOREIGN_CHECKPOINT)
def _(victim: Victim) -> object:
    notes, points = victim.notes, victim.points
    renamed = replace(points[50], origin=victim.other.points[0].origin)
    notes[50] = victim.run_key.sign(renamed.text())
    victim.notes = notes
    return points[49].size


@attack("a checkpoint is signed with a foreign key", Kind.FOREIGN_CHECKPOINT)
def _(victim: Victim) -> object:
    notes, points = victim.notes, victim.points
    notes[50] = SigningKey.new(points[50].origin).sign(points[50].text())
    victim.notes = notes
    return points[49].size


@attack("all checkpoints are signed with a foreign key", Kind.FOREIGN_CHECKPOINT)
def _(victim: Victim) -> object:
    victim.sign(SigningKey.new(victim.points[0].origin))
    return 0


# Who signed.


@attack("run.pub is somebody else's", Kind.FOREIGN_KEY, Kind.FOREIGN_CHECKPOINT)
def _(victim: Victim) -> object:
    victim.path("run.pub").write_text(issue(victim.scene.attacker, victim.name).certificates, "utf-8", newline="")
    return ...


@attack("run.pub is of another run", Kind.FOREIGN_CERTIFICATE)
def _(victim: Victim) -> object:
    shutil.copy(victim.other_run / "run.pub", victim.folder)
    return None


@attack("run.pub is removed", Kind.MISSING_FILE)
def _(victim: Victim) -> object:
    victim.path("run.pub").unlink()
    return None


@attack("run.pub holds a forged certificate", Kind.FORGED_CERTIFICATE)
def _(victim: Victim) -> object:
    own = issue(victim.scene.attacker, victim.name)
    data = victim.path("run.pub").read_text("utf-8")
    chain = data.split("\n\n")
    chain[0] = own.certificates.split("\n\n")[0]
    victim.path("run.pub").write_text("\n\n".join(chain), "utf-8", newline="")
    victim.sign(own.key)
    return None


@attack("run.pub loses the project's certificate", Kind.FORGED_CERTIFICATE)
def _(victim: Victim) -> object:
    data = victim.path("run.pub").read_text("utf-8")
    victim.path("run.pub").write_text("\n\n".join(data.split("\n\n")[:2]) + "\n\n", "utf-8", newline="")
    return None


@attack("run.pub gets carriage returns", Kind.MALFORMED_CERTIFICATE)
def _(victim: Victim) -> object:
    path = victim.path("run.pub")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    return None


@attack("an attacker adds his own key and signs the end anew", Kind.FOREIGN_KEY, UNSEEN)
def _(victim: Victim) -> object:
    own = issue(victim.scene.attacker, victim.name)
    with victim.path("run.pub").open("a", encoding="utf-8", newline="") as file:
        file.write(own.certificates)
    notes, points = victim.notes, victim.points
    victim.change(len(victim.lines) - 1, later)
    victim.notes = [*notes[:-1], victim.checkpoint(points[-1].size, victim.lines, points[-2].size, own.key)]
    return None


@attack("edited and signed anew by an attacker", Kind.FOREIGN_KEY, UNSEEN)
def _(victim: Victim) -> object:
    victim.change(victim.place("chat.begin"), later)
    victim.sign_as(victim.scene.attacker)
    return None


@attack("a reply edited and signed anew by an attacker", Kind.FOREIGN_KEY, DIFFERS)
def _(victim: Victim) -> object:
    victim.change(victim.place("agent.reply"), says("Sell."))
    victim.sign_as(victim.scene.attacker)
    return None


@attack("edited and signed anew by the owner", Kind.REWRITTEN, UNSEEN)
def _(victim: Victim) -> object:
    victim.change(victim.place("chat.begin"), later)
    victim.sign_as(victim.scene.owner)
    return None


@attack("the owner runs again, and gives the other run this one's name", Kind.TRUNCATED, UNSEEN, stamped=True)
def _(victim: Victim) -> object:
    shutil.rmtree(victim.folder)
    shutil.copytree(victim.other_run, victim.folder)
    other = victim.other_run.name.encode()
    victim.lines = [line.replace(other, victim.name.encode()) for line in victim.lines]
    _render_again(victim)
    victim.sign_as(victim.scene.owner)
    return len(victim.lines)


@attack("the owner changes a bar and signs anew", Kind.REWRITTEN, DIFFERS)
def _(victim: Victim) -> object:
    victim.change(victim.place("bar"), dearer)
    victim.sign_as(victim.scene.owner)
    return None


@attack("the owner gives one slot the reply of another and signs anew", Kind.REWRITTEN, DIFFERS)
def _(victim: Victim) -> object:
    lines = victim.lines
    for kind in ("llm.response", "agent.reply"):
        body = json.loads(lines[victim.place(kind, 4)])["body"]
        victim.change(victim.place(kind, 8), lambda record, body=body: record.update(body=body))
    victim.sign_as(victim.scene.owner)
    return None


@attack("the owner edits a table, records its digest and signs anew", Kind.REWRITTEN, DIFFERS)
def _(victim: Victim) -> object:
    path = victim.path("decisions.csv")
    path.write_bytes(path.read_bytes().replace(b"SELL", b"HOLD").replace(b"HOLD", b"BUY", 1))
    digest = sha256_hex(path.read_bytes())
    victim.change(victim.place("rendered", 0), lambda record: record["body"]["files"].update({"decisions.csv": digest}))
    victim.sign_as(victim.scene.owner)
    return None


@attack("the owner signs a line that is no JSON", Kind.MALFORMED)
def _(victim: Victim) -> object:
    place = victim.place("equity")
    victim.rewrite(place, lambda line: re.sub(rb'"cash":"[^"]*"', b'"cash":NaN', line))
    victim.sign_as(victim.scene.owner)
    return place


@attack("the owner signs a line that is not canonical", Kind.RE_ENCODED)
def _(victim: Victim) -> object:
    place = victim.place("equity")
    victim.rewrite(place, lambda line: line.replace(b",", b", ", 1))
    victim.sign_as(victim.scene.owner)
    return place


@attack("the owner deletes a record and signs anew", Kind.MALFORMED)
def _(victim: Victim) -> object:
    place = victim.place("llm.response")
    victim.lines = [line for at, line in enumerate(victim.lines) if at != place]
    victim.sign_as(victim.scene.owner)
    return place


# Two runs.


@attack("the end is another run's", Kind.SPLICED)
def _(victim: Victim) -> object:
    place = victim.place("market.view")
    other = victim.other.lines
    victim.lines = [*victim.lines[:place], *other[place:]]
    return place


@attack("the end is another run's, with its checkpoints", Kind.SPLICED)
def _(victim: Victim) -> object:
    other = victim.other
    points, notes = victim.points, victim.notes
    size = points[50].size
    behind = [note for point, note in zip(other.points, other.notes, strict=True) if point.size > size]
    victim.lines = [*victim.lines[:size], *other.lines[size:]]
    victim.notes = [*notes[:51], *behind]
    return size


@attack("a record is another run's", Kind.SPLICED)
def _(victim: Victim) -> object:
    place = victim.place("llm.response")
    lines = victim.lines
    lines[place] = victim.other.lines[place]
    victim.lines = lines
    return place


@attack("the folder is another run's", Kind.REWRITTEN, Unseen(remark="the folder is called"))
def _(victim: Victim) -> object:
    shutil.rmtree(victim.folder)
    shutil.copytree(victim.other_run, victim.folder)
    return ...


# The same record in other bytes.


def _spelled(name: str, how: Callable[[bytes], bytes]) -> None:
    def deed(victim: Victim) -> object:
        place = victim.place("equity")
        victim.rewrite(place, how)
        return place

    attack(name, Kind.RE_ENCODED)(deed)


_spelled("a JSON key stands twice, the true value last", lambda line: b'{"kind":"fill",' + line[1:])
_spelled("a JSON key stands twice, the true value first", lambda line: line[:-1] + b',"kind":"fill"}')
_spelled("white space", lambda line: line.replace(b":", b": ", 1))
_spelled("a blank at the line's end", lambda line: line + b" ")
_spelled("a carriage return", lambda line: line + b"\r")
_spelled("a byte order mark", lambda line: b"\xef\xbb\xbf" + line)
_spelled("an escaped letter", lambda line: line.replace(b'"kind":"equity"', b'"kind":"\\u0065quity"'))
_spelled("another form of a number", lambda line: re.sub(rb'"audit.seq":(\d+)', rb'"audit.seq":\1.0', line))
_spelled("keys in another order", lambda line: b'{"kind":"equity",' + line[1:].replace(b',"kind":"equity"', b""))


@attack("carriage returns in the whole log", Kind.RE_ENCODED)
def _(victim: Victim) -> object:
    victim.lines = [line + b"\r" for line in victim.lines]
    return 0


@attack("a byte order mark before the log", Kind.RE_ENCODED)
def _(victim: Victim) -> object:
    victim.rewrite(0, lambda line: b"\xef\xbb\xbf" + line)
    return 0


@attack("NaN", Kind.EDITED)
def _(victim: Victim) -> object:
    place = victim.place("equity")
    victim.rewrite(place, lambda line: re.sub(rb'"cash":"[^"]*"', b'"cash":NaN', line))
    return place


@attack("an empty line", Kind.INSERTED)
def _(victim: Victim) -> object:
    lines = victim.lines
    victim.lines = [*lines[:100], b"", *lines[100:]]
    return 100


@attack("a line over 16 MiB", Kind.TOO_LONG)
def _(victim: Victim) -> object:
    place = victim.place("opinion")
    victim.rewrite(place, lambda line: line + b" " * (16 * 1024 * 1024))
    return place


# Files.


@attack("a blob is removed", Kind.MISSING_BLOB)
def _(victim: Victim) -> object:
    victim.path(_blob(victim)).unlink()
    return victim.place("market.view", 0)


@attack("a blob is another's", Kind.REPLACED_BLOB)
def _(victim: Victim) -> object:
    victim.path(_blob(victim)).write_bytes(b'[{"open_time":"2025-04-01T00:00:00Z"}]')
    return victim.place("market.view", 0)


@attack("all blobs are removed", Kind.MISSING_BLOB)
def _(victim: Victim) -> object:
    shutil.rmtree(victim.path("blobs"))
    return victim.place("market.view", 0)


def _linked(name: str) -> Deed:
    def deed(victim: Victim) -> object:
        path, away = victim.path(name), victim.folder.parent / "away"
        path.rename(away)
        path.symlink_to(away)
        return None

    return deed


for each in (
    "log.jsonl",
    "checkpoints",
    "run.pub",
    "report.html",
    "decisions.csv",
    "blobs",
    "anchors",
    "anchors/head.tsr",
):
    attack(f"a symbolic link for {each}", Kind.NOT_A_FILE, stamped="anchors" in each)(_linked(each))


@attack("a symbolic link for a blob", Kind.NOT_A_FILE)
def _(victim: Victim) -> object:
    return _linked(_blob(victim))(victim)


def _piped(name: str) -> Deed:
    def deed(victim: Victim) -> object:
        victim.path(name).unlink()
        os.mkfifo(victim.path(name))
        return None

    return deed


for each in ("log.jsonl", "checkpoints", "run.pub", "equity.csv", "anchors/begin.tsr"):
    attack(f"a pipe for {each}", Kind.NOT_A_FILE, stamped="anchors" in each)(_piped(each))


@attack("a folder for the log", Kind.NOT_A_FILE)
def _(victim: Victim) -> object:
    victim.path("log.jsonl").unlink()
    victim.path("log.jsonl").mkdir()
    return None


def _removed(name: str) -> Deed:
    def deed(victim: Victim) -> object:
        victim.path(name).unlink()
        return None if name == "log.jsonl" else ...

    return deed


for each in ("log.jsonl", "report.html", "metrics.json", "anchors/begin.tsr", "anchors/head.tsr"):
    attack(f"{each} is removed", Kind.MISSING_FILE, stamped="anchors" in each)(_removed(each))


def _edited(name: str, old: bytes, new: bytes) -> None:
    def deed(victim: Victim) -> object:
        data = victim.path(name).read_bytes()
        assert old in data
        victim.path(name).write_bytes(data.replace(old, new, 1))
        return victim.place("rendered", 0)

    attack(f"{name} is edited", Kind.EDITED_RENDERING)(deed)


_edited("decisions.csv", b"SELL", b"HOLD")
_edited("equity.csv", b"10000", b"11000")
_edited("trades.csv", b"BTCUSDT", b"ETHUSDT")
_edited("metrics.json", b'"total_return":-', b'"total_return":')
_edited("report.html", b"not a language model", b"a language model")
_edited("agent_comms.log", b"SELL", b"HOLD")
_edited("spec.json", b'"10000"', b'"20000"')


@attack("a table gets a line more", Kind.EDITED_RENDERING)
def _(victim: Victim) -> object:
    with victim.path("trades.csv").open("ab") as file:
        file.write(b"1\n")
    return victim.place("rendered", 0)


@attack("a time stamp is another run's", Kind.FORGED_STAMP, stamped=True)
def _(victim: Victim) -> object:
    victim.path("anchors/head.tsr").write_bytes(victim.scene.authority.stamp(bytes(32)))
    return victim.place("anchor", 1)


@attack("a time stamp is forged by an authority of the attacker's", Kind.FORGED_STAMP, stamped=True)
def _(victim: Victim) -> object:
    point = victim.points[-2]
    imprint = bytes.fromhex(sha256_hex(point.text().encode()))
    victim.path("anchors/head.tsr").write_bytes(type(victim.scene.authority)().stamp(imprint))
    return victim.place("anchor", 1)


@attack("a stray file", Unseen(remark="stray file"))
def _(victim: Victim) -> object:
    victim.path("decisions_final.csv").write_text("all of them right\n")
    return None


@attack("a stray folder", Unseen(remark="stray file"))
def _(victim: Victim) -> object:
    victim.path("blobs/other").mkdir()
    return None


@attack("a blob more", Unseen(remark="blob that no record refers to"))
def _(victim: Victim) -> object:
    digest = sha256_hex(b"more")
    path = victim.path(f"blobs/sha256/{digest[:2]}/{digest}")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"more")
    return None


def _blob(victim: Victim) -> str:
    (path,) = (each for each in victim.path("blobs").rglob("*") if each.is_file())
    return path.relative_to(victim.folder).as_posix()


def _truncate(victim: Victim, part: float) -> int:
    """Log and checkpoints up to one of these. Returns its size."""
    points, notes = victim.points, victim.notes
    count = int(len(points) * part)
    victim.lines = victim.lines[: points[count].size]
    victim.notes = notes[: count + 1]
    return points[count].size


def _forget_end(victim: Victim) -> None:
    for name in RENDERINGS:
        victim.path(name).unlink()


def _render_again(victim: Victim) -> None:
    """Every file as the changed log gives it, and their digests in it."""
    made = render(victim.folder).files
    for name, data in made.items():
        victim.path(name).write_bytes(data)
    files = {name: sha256_hex(data) for name, data in made.items()}
    victim.change(victim.place("rendered", 0), lambda record: record["body"].update(files=files))


def _respell(victim: Victim, how: Callable[[str], str]) -> int:
    notes, points = victim.notes, victim.points
    assert how(notes[50]) != notes[50]
    notes[50] = how(notes[50])
    victim.notes = notes
    return points[49].size


def _other_ending(note: str, step: int) -> str:
    """Other unused bits in the last letter of a signature: it decodes alike."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    head, last = note[:-3], note[-3]
    other = alphabet[alphabet.index(last) ^ step]
    coded = (head + other).rpartition(" ")[2] + "="
    assert base64.b64decode(coded) == base64.b64decode((head + last).rpartition(" ")[2] + "=")
    return f"{head}{other}=\n"
