"""The protocol between `run` and a peer, one line of JSON each way: README.md describes it. For the peers written in Python."""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

EPSILON = 1e-5
MOMENTUM = 0.1


class Work:
    """One piece of work, and where its inputs lie."""

    def __init__(self, request):
        self.operation = request["operation"]
        self.layout = request["layout"]
        self.shape = request["shape"]
        self.folder = Path(request["folder"])

    def input(self, name):
        values = np.fromfile(self.folder / f"{name}.f32", dtype="<f4")
        return values.reshape(self.shape) if name in ("x", "dy") else values


def first_lines(error):
    """An error in its own words, without the trace behind it."""
    return f"{type(error).__name__}: {error}".strip().split("\n\n")[0][:600]


def serve(peer):
    """Answers requests until the input ends. `peer` has `about()` and `prepare(work)`, and what that gives `repeat(n)`, which
    returns when the work is done, and `results()`, by name."""
    # What a library prints must not get among the replies.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    prepared = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            match request["do"]:
                case "about":
                    answer = peer.about()
                case "prepare":
                    prepared = None  # frees what was there before more is asked for
                    prepared = peer.prepare(Work(request))
                    answer = None
                case "time":
                    cpu, wall = time.process_time(), time.perf_counter()
                    prepared.repeat(request["repeats"])
                    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                    answer = {"wall": wall, "cpu": cpu}
                case "results":
                    results = prepared.results()
                    for name, values in results.items():
                        values = np.ascontiguousarray(values, dtype="<f4")
                        values.tofile(Path(request["into"]) / f"{name}.f32")
                    answer = list(results)
                case "release":
                    prepared = answer = None
                case unknown:
                    raise ValueError(f"unknown request {unknown}")
            reply = {"ok": answer}
        except Exception as error:  # whatever a library raises is its answer
            reply = {"refused": first_lines(error)}
        print(json.dumps(reply), file=replies, flush=True)
    replies.flush()
    # Without the destructors of libraries that fail in them.
    os._exit(0)
