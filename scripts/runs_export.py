"""The work behind `scripts.runs export`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from backtesting.audit.frames import read_frames, write_frames
from data.door import run_folder
from data.model.errors import UsageError
from data.model.escape import escape_line


def export_run(options: argparse.Namespace) -> int:
    """Writes a file a table, and says which."""
    folder = run_folder(options.run, options.runs)
    output: Path = options.output or Path(f"export-{folder.resolve().name}")
    if output.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{output} lies in the run's own folder, which stays as it is; choose another --output")
    frames = read_frames(folder)
    try:
        files = write_frames(frames, output, options.format)
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror or error}; choose another --output") from None
    if options.json:
        told = [{"file": str(file), "rows": len(frame.rows)} for file, frame in zip(files, frames, strict=True)]
        print(json.dumps({"files": told}))
        return 0
    for file, frame in zip(files, frames, strict=True):
        print(f"{escape_line(str(file))}  {len(frame.rows):,} rows")
    return 0
