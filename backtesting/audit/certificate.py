"""A run on one page for somebody else: what was asked, what came of it, who stands behind it, and a check of its own.

The page needs no server, no network and no program of ours: the reader gives it the packed run, and it looks at every
leaf, root, signature and file in the reader's browser. A pure function of the run, its proof and its bundle. Limits:
whoever sends a page can write another one, so its head must reach the reader by another way, which the page says; it
checks what was signed and derives no result, which is left to `scripts.verify`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup

from backtesting.audit import figures
from backtesting.audit.figures import Figure
from backtesting.audit.packing import Bundle
from backtesting.audit.page_data import embed
from backtesting.audit.report import settings
from backtesting.audit.sheet import asset, enclosed, sheet
from backtesting.audit.story import Story
from backtesting.audit.verdict import Proof
from data.model.canonical import Json, canonical_bytes
from data.model.escape import UNSEEN
from data.model.instants import show

LIBRARY = "fzstd.js"
SCRIPTS = ("bundle.js", "notes.js", "proof.js", "naming.js", "record.js", "certificate.js")
_SUMMARY = (
    *("final_equity", "total_return", "buy_and_hold_return", "decisions", "failed", "replies", "replies_traced"),
    *("fills", "trades", "cost_usd"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shared:
    """What a certificate is made of: a finished run's story, what its folder proved, and the packed folder."""

    story: Story
    proof: Proof
    bundle: Bundle


class Said(NamedTuple):
    """A value of a record, as the page shows it; `pointer` is a JSON pointer into the record's body."""

    label: str
    kind: str
    pointer: str
    value: str


def certificate_html(shared: Shared) -> str:
    """The page. Equal runs, proofs and bundles give equal bytes."""
    return sheet(
        "certificate.html.j2",
        asset(LIBRARY),
        enclosed(*SCRIPTS),
        asset("report.css") + asset("certificate.css"),
        claims=Markup(embed(_claims(shared))),  # noqa: S704 - embed escapes what HTML would read
        **_context(shared),
    )


def _context(shared: Shared) -> dict[str, object]:
    story, found, bundle = shared.story, shared.proof.examination, shared.bundle
    question, end = story.question, story.end.body if story.end else {}
    warnings = story.begin.body.get("warnings")
    return {
        "run_id": story.run_id,
        "symbols": list(question.symbols),
        "window": f"{question.interval.value} bars, {question.start_on} to {question.end_on}",
        "model_note": str(story.begin.body.get("model_note") or "model: unknown"),
        "headline": figures.headline(story),
        "verdict": figures.verdict(story),
        "rate": figures.tiles(story)[0],
        "tiles": figures.tiles(story)[1:],
        "warnings": [str(warning) for warning in warnings] if isinstance(warnings, list) else [],
        "settings": list(settings(story)),
        "metrics": figures.metric_rows(end.get("metrics"), end.get("significance")),
        "standing": list(_standing(shared)),
        "said": list(_said(story)),
        "bundle": bundle,
        "size": f"{bundle.size:,}",
        "head": found.head,
        "covered": f"{found.signed:,} of {found.records:,} records are under a checkpoint",
        "fingerprints": [key.fingerprint for key in found.signers],
    }


def _standing(shared: Shared) -> Iterator[Figure]:
    """Who stands behind the run, and what is known of it beside its own words."""
    story, found = shared.story, shared.proof.examination
    for host in found.hosts:
        yield Figure("On the machine", host, "certified by the signer")
    for stamp in found.stamps:
        when = f"{show(stamp.stamp.stamped_at)} by {stamp.stamp.authority}"
        yield Figure("Time stamp", when, f"of the first {stamp.checkpoint.size:,} records; not checked on this page")
    yield from figures.standing(story)
    if story.trial is None:
        yield Figure("Trial", "unknown", "the log holds no entry of its project's log")
    if shared.proof.derivation is not None:
        yield Figure("Replies", shared.proof.derivation.headline)
    yield Figure("Checked when packed", shared.proof.headline, "by the sender's own program")


def _said(story: Story) -> Iterator[Said]:
    """What the page says in the log's own words, so that the page can be held against the log."""
    begin, end = dict(story.begin.body), dict(story.end.body) if story.end else {}
    for label, pointer in (
        ("Run", "/run_id"),
        ("Symbols", "/question/symbols"),
        ("Interval", "/question/interval"),
        ("From", "/question/start_on"),
        ("To", "/question/end_on"),
        ("Initial cash", "/question/initial_cash"),
        ("Model", "/model_note"),
        ("Data digest", "/data_digest"),
    ):
        yield _value(label, "run.begin", pointer, begin)
    yield _value("Status", "run.end", "/status", end)
    for name in _SUMMARY:
        yield _value(name.replace("_", " ").capitalize(), "run.end", f"/summary/{name}", end)
    yield _value("Result digest", "run.end", "/result_digest", end)
    if story.trial is not None:
        trial: dict[str, Json] = dict(story.trial.value._asdict())
        for name in trial:
            yield _value(f"Trial: {name.replace('_', ' ')}", "project.entry", f"/{name}", trial)


def _value(label: str, kind: str, pointer: str, body: Json) -> Said:
    for name in pointer.split("/")[1:]:
        body = body.get(name) if isinstance(body, dict) else None
    return Said(label, kind, pointer, _spoken(body))


def _spoken(value: Json) -> str:
    """As the page's script says it."""
    if isinstance(value, list):
        return ", ".join(_spoken(each) for each in value)
    if value is None:
        return "none"
    return value if isinstance(value, str) else canonical_bytes(value).decode()


def _claims(shared: Shared) -> Json:
    """What the script holds the reader's files against. `unseen` is what is shown escaped, as ECMAScript spells it."""
    found, bundle = shared.proof.examination, shared.bundle
    return {
        "run_id": found.run_id,
        "head": found.head,
        "signers": [key.fingerprint for key in found.signers],
        "bundle": {
            "name": bundle.name,
            "sha256": bundle.sha256,
            "tar_sha256": bundle.tar_sha256,
            "tar_size": bundle.tar_size,
        },
        "files": list(bundle.files),
        "unseen": "".join(each if each in "[]-" else f"\\u{{{ord(each):x}}}" for each in UNSEEN.pattern),
    }
