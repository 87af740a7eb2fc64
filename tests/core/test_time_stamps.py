"""A run asks an authority for two time stamps, and goes on without them where there are none."""

from __future__ import annotations

import sys
from pathlib import Path

from main_job import RULES, play

sys.path.insert(0, str(Path(__file__).parents[1] / "journal"))
from timestamps import Authority, serving

from data.journal.anchors import Moment, check_anchors

SHORT = (*RULES, "--mini", "--decide_every", "24")


def test_the_begin_and_the_head_are_stamped(tmp_path: Path, bitcoin: str) -> None:
    authority = Authority()
    with serving(authority) as (url, asked):
        played = play(tmp_path, bitcoin, *SHORT, "--timestamp_url", url)
    assert (played.code, len(asked)) == (0, 2)
    begin, head = check_anchors(played.folder, [authority.root])
    assert (begin.moment, begin.checkpoint.size, begin.doubt) == (Moment.BEGIN, 1, None)
    assert (head.moment, head.doubt) == (Moment.HEAD, None)
    records = played.records
    assert head.checkpoint.size == len(records) - 1, "the record of the stamp follows what it is of"
    assert [record.seq for record in records if record.kind == "anchor"] == [2, len(records) - 1]
    assert [body["stamp"]["sha256"] for body in played.of("anchor")] == [begin.stamp.sha256, head.stamp.sha256]
    assert played.summary["head"].startswith(f"{len(records)}-")


def test_no_authority_is_a_warning(tmp_path: Path, bitcoin: str) -> None:
    played = play(tmp_path, bitcoin, *SHORT, "--timestamp_url", "http://127.0.0.1:9/tsa")
    assert played.code == 0
    assert played.err.count("warning: no time stamp of the") == 2
    assert not (played.folder / "anchors").exists()
