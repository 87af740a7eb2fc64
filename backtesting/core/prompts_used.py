"""Which prompts there are and which runs used them: those of a folder, and those that runs recorded when they began.

A prompt is known by the digest of its file; a version is only what its author called it. What a run's folder says is
untrusted: it is read, shown escaped, and never used to run anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agents.prompt_files import OURS, Prompt, load_prompts
from backtesting.core.begun import read_begun
from data.door import run_folder
from data.model.decisions import Role
from data.model.errors import DataError, UsageError

Prompts = Mapping[Role, Prompt]
OUR_NAME = "ours"


@dataclass(frozen=True, slots=True)
class Used:
    """One prompt, the runs that began with it, oldest first, and whether it is in the folder that was looked at."""

    prompt: Prompt
    runs: tuple[str, ...]
    is_here: bool


def used_prompts(folder: Path | None, runs: Path) -> tuple[Used, ...]:
    """Those of the folder first, then those that only runs hold; by role."""
    here = load_prompts(folder)
    by_digest: dict[tuple[Role, str], list[str]] = {}
    known: dict[tuple[Role, str], Prompt] = {}
    for name, prompts in _recorded(runs):
        for role, prompt in prompts.items():
            by_digest.setdefault((role, prompt.sha256), []).append(name)
            known.setdefault((role, prompt.sha256), prompt)
    found = []
    for role in Role:
        mine = (role, here[role].sha256)
        found.append(Used(here[role], tuple(by_digest.get(mine, ())), is_here=True))
        others = [key for key in by_digest if key[0] is role and key != mine]
        found += [Used(known[key], tuple(by_digest[key]), is_here=False) for key in others]
    return tuple(found)


def prompts_of(place: str, runs: Path) -> Prompts:
    """Of `ours`, a folder of prompts, or a run (its id or folder). Raises UsageError and DataError."""
    if place == OUR_NAME:
        return load_prompts(OURS)
    if Path(place).is_dir() and not (Path(place) / "log.jsonl").exists():
        return load_prompts(Path(place))
    folder = run_folder(place, runs)
    found = _of_run(folder)
    if found is None:
        raise DataError(f"the run in {folder} holds no prompts that can be read")
    return found


def copy_prompts(place: str, runs: Path, folder: Path, version: str) -> tuple[Path, ...]:
    """Writes the four into a new folder under a version of their own. Raises UsageError; then nothing was written."""
    prompts = prompts_of(place, runs)
    try:
        folder.mkdir(parents=True)
        paths = []
        for role, prompt in prompts.items():
            path = folder / f"{role.value}.md"
            path.write_text(f"---\nversion: {version}\nrole: {role.value}\n---\n{prompt.text}\n", "utf-8")
            paths.append(path)
    except FileExistsError:
        raise UsageError(f"{folder} is there already; name a new folder") from None
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror or error}") from None
    load_prompts(folder)
    return tuple(paths)


def _recorded(runs: Path) -> Iterator[tuple[str, Prompts]]:
    for folder in sorted(runs.iterdir()) if runs.is_dir() else ():
        prompts = _of_run(folder) if folder.is_dir() else None
        if prompts is not None:
            yield folder.name, prompts


def _of_run(folder: Path) -> Prompts | None:
    """None where there is no record yet, or none that reads."""
    try:
        begun = read_begun(folder)
        found = None if begun is None else begun.prompts
    except (DataError, ValueError, KeyError, TypeError, AssertionError):
        return None
    return found
