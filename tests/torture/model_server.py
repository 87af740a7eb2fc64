"""A model's server in a process of its own: answers as a function of the request's bytes, and counts what it was asked.

    python model_server.py COUNTS [--latency 0.01] [--shaky]

Prints its address. Before a request is answered, a line about it is in the file COUNTS: the path, and the SHA-256 of
the body. Each run has a path of its own (`http://…/<name>/v1`), so that no request is counted to another run. A shaky
one answers some requests with 503 when they come for the first time.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import threading
import time
from hashlib import sha256
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
sys.path.append(str(Path(__file__).parents[1] / "llm"))
import fault_server as server

SHAKY = frozenset("012")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("counts", type=Path)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--shaky", action="store_true")
    options = parser.parse_args()
    counts = os.open(options.counts, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    seen: set[tuple[str, str]] = set()
    lock = threading.Lock()

    def answer(handler: server.Handler, received: server.Received) -> None:
        name = sha256(received.body).hexdigest()
        line = json.dumps({"path": received.path, "sha256": name, "model": received.asked["model"]})
        with lock:
            os.write(counts, f"{line}\n".encode())
            known = (received.path, name) in seen
            seen.add((received.path, name))
        time.sleep(random.uniform(0, options.latency))
        if options.shaky and not known and name[0] in SHAKY:
            server.status(503, retry_after="0")(handler, received)
        else:
            server.ok(handler, received)

    server.Handler.disable_nagle_algorithm = True  # else each answer waits for the client's delayed ACK
    with server.FaultServer(then=answer) as model:
        print(model.base_url.removesuffix("/v1"), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
