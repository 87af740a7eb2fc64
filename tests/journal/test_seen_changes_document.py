"""docs/AUDIT.md says which changes are seen: no more and no fewer than the attacks show."""

from __future__ import annotations

import contextlib
import io
import re

import house
import pytest
from attacks import ATTACKS, DIFFERS, INCOMPLETE, Attack, Unseen

from data.journal.changes import Kind
from scripts import verify

TEXT = (house.ROOT / "docs" / "AUDIT.md").read_text("utf-8")
SECTION = TEXT.partition("## Which changes are seen\n")[2].partition("\n## ")[0]


def table(first: str) -> dict[str, tuple[str, ...]]:
    """The rows of the table whose first column has this head, by their first cell."""
    _, _, behind = SECTION.partition(f"| {first} |")
    rows = behind.partition("\n\n")[0].splitlines()[2:]
    cells = [tuple(cell.strip() for cell in row.strip("| ").split(" | ")) for row in rows]
    found = {row[0]: row[1:] for row in cells}
    assert len(found) == len(cells) > 0, "a row stands twice"
    return found


def unpinned(attack: Attack) -> bool:
    """Whether the folder alone passes for intact, and a pin shows the change."""
    return isinstance(attack.bare, Unseen) and isinstance(attack.pinned, Kind)


def shown_by(attack: Attack) -> str:
    return "`--key`" if attack.pinned is Kind.FOREIGN_KEY else "`--head`"


def test_every_kind_is_named_with_a_sentence() -> None:
    kinds = table("kind")
    assert list(kinds) == [f"`{kind}`" for kind in Kind]
    assert [row for row in kinds.items() if not re.fullmatch(r"[A-Z`].+\.", row[1][0])] == []


def test_what_passes_without_a_pin_is_listed() -> None:
    silent = [attack for attack in ATTACKS if unpinned(attack)]
    found = table("change that no verdict shows")
    assert found.keys() == {attack.name for attack in silent}
    for attack in silent:
        result, pin = found[attack.name]
        assert result.startswith("differs" if attack.bare is DIFFERS else "re-derived"), attack.name
        assert isinstance(attack.bare, Unseen)
        assert ("warning" in result) == (attack.bare.remark is not None), attack.name
        assert pin == shown_by(attack), attack.name


def test_what_looks_like_a_stop_is_listed() -> None:
    found = table("change that looks like a stop")
    assert found == {attack.name: (shown_by(attack),) for attack in ATTACKS if attack.bare == INCOMPLETE}


def test_what_is_only_a_warning_is_listed() -> None:
    remarks = {a.name: (a.pinned.remark,) for a in ATTACKS if isinstance(a.pinned, Unseen)}
    assert table("change that is only a warning") == remarks


def test_every_other_change_is_named_by_its_kind_alone() -> None:
    rest = [attack for attack in ATTACKS if isinstance(attack.bare, Kind)]
    listed = [table(head) for head in ("change that no verdict shows", "change that looks like a stop")]
    assert len(rest) + sum(map(len, listed)) + len(table("change that is only a warning")) == len(ATTACKS)
    assert {attack.name for attack in rest}.isdisjoint(name for rows in listed for name in rows)


@pytest.mark.parametrize("flag", sorted(set(re.findall(r"`(--[a-z]+)", SECTION))))
def test_its_flags_exist(flag: str) -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.raises(SystemExit):
        verify.main(["--help"])
    assert flag in said.getvalue()


def test_the_flag_for_authorities_is_named() -> None:
    assert "`--authority PEM`" in SECTION
