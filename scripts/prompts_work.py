"""The work behind `scripts.prompts`. What a prompt says is shown escaped: it may come from anybody's run."""

from __future__ import annotations

import argparse
import difflib
import json
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agents.prompt_files import Prompt
from backtesting.core.prompts_used import copy_prompts, prompts_of, used_prompts
from data.model.canonical import to_json
from data.model.decisions import Role
from data.model.escape import escape_line
from scripts.sheet import Sheet

MOST_RUNS = 3
COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def work(options: argparse.Namespace) -> int:
    """`options` as `scripts.prompts` checked them; the value is the exit code."""
    return WAYS[options.way](options)


def _list(options: argparse.Namespace) -> int:
    found = used_prompts(options.prompts, options.runs)
    if options.json:
        print(json.dumps({"prompts": to_json(found)}, ensure_ascii=False))
        return 0
    table = Table("role", "version", "digest", "runs", box=None, padding=(0, 2, 0, 0))
    table.add_column("", overflow="fold")
    for used in found:
        prompt, runs = used.prompt, used.runs
        named = ", ".join(runs[-MOST_RUNS:]) + (" …" if len(runs) > MOST_RUNS else "")
        cells = (prompt.role.value, prompt.version, prompt.sha256[:12], f"{len(runs):,}", named)
        table.add_row(*(Text(escape_line(cell), style="" if used.is_here else "dim") for cell in cells))
    Sheet().print(table)
    return 0


def _show(options: argparse.Namespace) -> int:
    prompt = prompts_of(options.where, options.runs)[Role(options.role)]
    if options.json:
        print(json.dumps(to_json(prompt), ensure_ascii=False))
    else:
        _say(Sheet(), [f"{prompt.role.value}, version {prompt.version}, {prompt.sha256}", "", *_lines(prompt)[1:]])
    return 0


def _new(options: argparse.Namespace) -> int:
    paths = copy_prompts(options.start_from, options.runs, options.folder, options.version)
    if options.json:
        print(json.dumps({"files": [str(path) for path in paths]}))
        return 0
    hint = f"change them, then run a backtest with --prompts {options.folder}"
    _say(Sheet(), [*(str(path) for path in paths), hint])
    return 0


def _diff(options: argparse.Namespace) -> int:
    before, after = (prompts_of(where, options.runs) for where in (options.before, options.after))
    roles = [Role(options.role)] if options.role else list(Role)
    found = {role.value: _difference(before[role], after[role], options) for role in roles}
    if options.json:
        print(json.dumps({"differences": found}, ensure_ascii=False))
    else:
        lines = [line for lines in found.values() for line in lines]
        _say(Sheet(), lines or ["the prompts are the same"], COLOURS)
    return 1 if any(found.values()) else 0


def _difference(before: Prompt, after: Prompt, options: argparse.Namespace) -> list[str]:
    names = (f"{options.before}/{before.role.value}.md", f"{options.after}/{after.role.value}.md")
    return list(difflib.unified_diff(_lines(before), _lines(after), *names, lineterm=""))


def _lines(prompt: Prompt) -> list[str]:
    return [f"version: {prompt.version}", *prompt.text.splitlines()]


def _say(console: Console, lines: list[str], colours: Mapping[str, str] | None = None) -> None:
    for line in lines:
        style = (colours or {}).get(line[:1], "")
        console.print(Text(escape_line(line), style=style), soft_wrap=True)


WAYS: Mapping[str, Callable[[argparse.Namespace], int]] = {"list": _list, "show": _show, "new": _new, "diff": _diff}
