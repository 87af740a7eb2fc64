"""Starts the main job over and over, in fresh processes that need no seconds to import it.

It imports everything, runs the job once inside itself, and then forks a child for each line on its standard input: a
JSON object with `root`, `argv`, `environ`, `out`, `err`, `fatal` (how the child is to die by itself, or null) and
`longest` (no file becomes longer, or null). It answers with the child's process id and, once that is over, with its
exit code (negative: the signal that ended it). Each child has a process group of its own.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))
import fatal

from backtesting.core import authentic_backtest


def main() -> None:
    _play(json.loads(sys.stdin.readline()))
    assert threading.active_count() == 1, "a fork would copy one thread only"
    print("ready", flush=True)
    for line in iter(sys.stdin.readline, ""):
        wanted = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(_alone(wanted))
        print(json.dumps(child), flush=True)
        _, status = os.waitpid(child, 0)
        print(json.dumps(os.waitstatus_to_exitcode(status)), flush=True)


def _play(wanted: Mapping[str, Any]) -> int:
    os.environ.update(wanted["environ"])
    authentic_backtest.ROOT = Path(wanted["root"])
    return authentic_backtest.main(wanted["argv"])


def _alone(wanted: Mapping[str, Any]) -> int:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may have it ignored
    for number, name in enumerate(("/dev/null", wanted["out"], wanted["err"])):
        opened = os.open(name, (os.O_CREAT | os.O_WRONLY | os.O_APPEND) if number else os.O_RDONLY)
        os.dup2(opened, number)
        os.close(opened)
    try:
        if wanted["longest"] is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (wanted["longest"], resource.RLIM_INFINITY))
        if wanted["fatal"]:
            fatal.arm(**wanted["fatal"])
        code = _play(wanted)
        fatal.count()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 70
    except BaseException:  # noqa: BLE001 - what the interpreter would do
        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    main()
