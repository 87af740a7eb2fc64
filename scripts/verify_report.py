"""What a verification came to, for people and for programs. All text out of the folder is escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from backtesting.audit.derivation import Derivation
from backtesting.audit.verdict import NOT_DERIVED, Proof
from data.journal.changes import Fault
from data.journal.examine import Examination
from data.model.canonical import to_json
from data.model.escape import escape_line
from data.model.instants import iso, show
from scripts.verify_bars import Compared

SHOWN = 10


def for_people(proof: Proof, compared: Sequence[Compared], own: frozenset[str]) -> Iterator[str]:
    """Lines. `own` are the fingerprints of this machine's own keys."""
    yield escape_line(proof.headline)
    yield ""
    for name, value in (*_bad(proof), *_rows(proof, own), *_compared(compared)):
        yield f"{name:15} {escape_line(value)}"
    for warning in _warnings(proof):
        yield f"warning: {escape_line(warning)}"


def for_programs(proof: Proof, compared: Sequence[Compared], exit_code: int) -> dict[str, Any]:
    """One JSON object."""
    found, first = proof.examination, proof.first_bad
    return {
        "verdict": proof.verdict.value,
        "result": proof.result,
        "exit_code": exit_code,
        "run_id": found.run_id,
        "run_dir": str(found.folder),
        "status": (found.facts.end or {}).get("status"),
        "fast": found.fast,
        "head": found.head,
        "records": found.records,
        "signed": found.signed,
        "anchored": found.anchored,
        "signer": _signer(found),
        "first_bad": None if first is None else _fault(first),
        "faults": [_fault(fault) for fault in found.faults],
        "stamps": [
            {
                "moment": each.moment.value,
                "stamped_at": iso(each.stamp.stamped_at),
                "authority": each.stamp.authority,
                "records": each.checkpoint.size,
                "trusted": each.doubt is None,
            }
            for each in found.stamps
        ],
        "trial": found.facts.entry,
        "recoveries": len(found.facts.recoveries),
        **_derived(proof.derivation),
        "recorded_result_digest": (found.facts.end or {}).get("result_digest"),
        "differences": [to_json(each) for each in proof.differences],
        "underived": proof.underived,
        "compared": [_comparison(each) for each in compared],
        "warnings": list(_warnings(proof)),
    }


def _bad(proof: Proof) -> Iterator[tuple[str, str]]:
    faults = proof.examination.faults
    if faults:
        first = faults[0]
        yield "first bad", "no record is touched" if first.record is None else f"record {first.record}"
        yield "what was done", first.kind.value
        yield "where", first.file
        yield "", first.detail
    for fault in faults[1 : SHOWN + 1]:
        yield "also", f"{fault.kind}: {fault.detail}"
    if len(faults) > SHOWN + 1:
        yield "also", f"{len(faults) - SHOWN - 1} more"
    if faults:
        yield "", ""


def _rows(proof: Proof, own: frozenset[str]) -> Iterator[tuple[str, str]]:
    found, facts = proof.examination, proof.examination.facts
    yield "run", f"{found.run_id or 'unknown'}{_status(found)}"
    if (reason := (facts.end or {}).get("reason")) is not None:
        yield "stopped", str(reason)
    yield "signed by", _signed_by(found, own)
    if found.hosts:
        yield "on", f"certified host {', '.join(found.hosts)}"
    yield "records", f"{found.signed:,} of {found.records:,} are under a checkpoint{_fast(found)}"
    yield "head", found.head or "none"
    if not found.faults:
        yield "anchored", _anchored(found)
    for stamp in found.stamps:
        doubt = "" if stamp.doubt is None else f"; {stamp.doubt}"
        when = f"{show(stamp.stamp.stamped_at)} by {stamp.stamp.authority}"
        yield "time stamp", f"the first {stamp.checkpoint.size:,} records, {when}{doubt}"
    if proof.derivation is not None:
        yield from _derivation_rows(proof.derivation)
    yield from _result_rows(proof)
    if facts.entry is not None:
        yield "trial", _trial(facts.entry)


def _derivation_rows(found: Derivation) -> Iterator[tuple[str, str]]:
    yield "replies", found.headline
    for server in found.servers:
        yield "answered by", f"{server} ({_counted(server.answers, 'answer')})"
    if found.unused_replies:
        yield "unused", f"{_counted(found.unused_replies, 'good answer')} that no reply rests on"
    if found.resumed or found.orphans or found.in_flight:
        lost = f"; {_counted(found.orphans, 'request')} without a known answer (possibly paid)" if found.orphans else ""
        flight = f"; {_counted(found.in_flight, 'request')} on the way when the log ends" if found.in_flight else ""
        yield "resumed", f"{_times(found.resumed)}{lost}{flight}"


def _result_rows(proof: Proof) -> Iterator[tuple[str, str]]:
    found = proof.derivation
    if found is not None and not proof.differences:
        decided = f"{_counted(found.decisions, 'decision')}, {found.failed} failed"
        counted = f"{decided}, {_counted(found.fills, 'fill')}, {_counted(found.trades, 'trade')}"
        yield "result", f"follows from the record: {counted}"
    elif proof.result == NOT_DERIVED:
        yield "result", f"not derived: {proof.underived}"
    for each in proof.differences[:SHOWN]:
        yield "differs", str(each)
    if len(proof.differences) > SHOWN:
        yield "differs", f"in {_counted(len(proof.differences) - SHOWN, 'place')} more"
    if found is not None and found.result_digest:
        yield "result digest", found.result_digest


def _compared(compared: Sequence[Compared]) -> Iterator[tuple[str, str]]:
    for each in compared:
        if not each.differs:
            yield (
                "compared",
                f"{_counted(each.bars, 'recorded bar')} {'is' if each.bars == 1 else 'are'} those of {each.what}",
            )
            continue
        if each.differences or each.bars:
            yield "compared", f"{len(each.differences):,} of {each.bars:,} bars differ from {each.what}"
        yield from (("differs", str(difference)) for difference in each.differences[:SHOWN])
        yield from (("compared", note) for note in each.notes)


def _warnings(proof: Proof) -> Iterator[str]:
    yield from proof.examination.remarks
    said = (proof.examination.facts.begin or {}).get("warnings")
    yield from (str(each) for each in said) if isinstance(said, list) else ()


def _signed_by(found: Examination, own: frozenset[str]) -> str:
    if not found.signers:
        return "nobody that can be told"

    def told(fingerprint: str) -> str:
        if found.known:
            return f"{fingerprint}, for which a given key answers"
        return f"{fingerprint}, this machine's own key" if fingerprint in own else f"unknown signer {fingerprint}"

    return "; ".join(told(key.fingerprint) for key in found.signers)


def _anchored(found: Examination) -> str:
    if not found.anchored:
        return "no: give the head that was kept elsewhere (--head)"
    if found.anchored >= found.records:
        return "yes, all of it"
    return f"the first {found.anchored:,} of {found.records:,} records"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _times(number: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(number) or _counted(number, "time")


def _status(found: Examination) -> str:
    """How the run ended, as far as its record can be believed."""
    ended = (found.facts.end or {}).get("status")
    return f"  ({ended or 'no end on record'})" if ended or not found.faults else ""


def _fast(found: Examination) -> str:
    return "; a fast look: neither fields, blobs nor other signatures were checked" if found.fast else ""


def _trial(entry: dict[str, Any]) -> str:
    number, same, unfinished = (entry.get(name) for name in ("number", "of_question", "unfinished"))
    return f"run {number} of its project, {same} with this question, {unfinished} unfinished before it"


def _signer(found: Examination) -> dict[str, Any] | None:
    if not found.signers:
        return None
    first = found.signers[0]
    all_of_them = [key.fingerprint for key in found.signers]
    return {
        "name": first.name,
        "fingerprint": first.fingerprint,
        "known": found.known,
        "hosts": list(found.hosts),
        "all": all_of_them,
    }


def _fault(fault: Fault) -> dict[str, Any]:
    return {"record": fault.record, "kind": fault.kind.value, "detail": fault.detail, "file": fault.file}


def _derived(found: Derivation | None) -> dict[str, Any]:
    counts = ("bars", "decisions", "failed", "fills", "trades", "resumed", "orphans", "in_flight", "unused_replies")
    if found is None:
        return dict.fromkeys(("replies", "replies_headline", "servers", "result_digest", *counts))
    return {
        "replies": {"total": found.replies, "traced": found.traced, "built_in": found.built_in},
        "replies_headline": found.headline,
        "servers": [
            {
                "host": each.host,
                "certificate_sha256": each.certificate_sha256,
                "provider": each.provider,
                "built_in": each.is_built_in,
                "answers": each.answers,
            }
            for each in found.servers
        ],
        "result_digest": found.result_digest,
        **{name: getattr(found, name) for name in counts},
    }


def _comparison(each: Compared) -> dict[str, Any]:
    first = [to_json(difference) for difference in each.differences[:SHOWN]]
    return {
        "with": each.what,
        "bars": each.bars,
        "differing": len(each.differences),
        "first": first,
        "notes": list(each.notes),
    }
