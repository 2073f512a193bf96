"""The peers as processes that answer one line of JSON with another."""

import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent.resolve()


@dataclass(frozen=True)
class Peer:
    name: str
    folder: str
    variant: str
    gpu: bool

    @property
    def command(self):
        return FOLDER / self.folder / "run"


PEERS = [
    Peer("wgpu-batchnorm GPU", "ours", "gpu", True),
    Peer("wgpu-batchnorm CPU", "ours", "cpu", False),
    Peer("Burn", "burn", "wgpu", True),
    Peer("ONNX Runtime WebGPU", "onnxruntime-webgpu", "default", True),
    Peer("ONNX Runtime WebGPU, NCHW", "onnxruntime-webgpu", "nchw", True),
    Peer("TensorFlow.js WebGPU", "tfjs", "webgpu", True),
    Peer("PyTorch CPU", "pytorch", "cpu", False),
    Peer("ONNX Runtime CPU", "onnxruntime-cpu", "cpu", False),
]


class Refused(Exception):
    """A peer's own words about what it does not do."""


class Skipped(Exception):
    """What was given up here, and why."""


class Process:
    """A running peer, started again where it ended."""

    def __init__(self, peer, threads, environment):
        self.peer, self.threads = peer, threads
        self.environment = os.environ | environment
        self.process = None

    def start(self):
        self.log = tempfile.TemporaryFile()
        cores = sorted(os.sched_getaffinity(0))[: self.threads] if hasattr(os, "sched_getaffinity") else None
        self.process = subprocess.Popen(
            [self.peer.command, self.peer.variant],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=self.environment,
            preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,
            start_new_session=True,
        )
        self.buffer = b""
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)

    def stop(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
        self.selector.close()
        self.process = None

    def ended(self):
        """How the process ended, with the last that it said."""
        self.process.wait()
        code = self.process.returncode
        self.log.seek(0)
        said = [line for line in self.log.read().decode(errors="replace").splitlines() if line.strip()]
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self.process.stdin.close()
        self.stop()
        return f"the process ended ({how}): {said[-1] if said else 'without a word'}"

    def ask(self, request, limit):
        """The answer to a request, within `limit` seconds."""
        if self.process is None:
            self.start()
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Refused(self.ended()) from None
        deadline = time.monotonic() + limit
        while b"\n" not in self.buffer:
            if not self.selector.select(max(0, deadline - time.monotonic())):
                os.killpg(self.process.pid, signal.SIGKILL)
                self.stop()
                raise Skipped(f"{request['do']} took over {limit:g} s")
            piece = os.read(self.process.stdout.fileno(), 1 << 16)
            if not piece:
                raise Refused(self.ended())
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\n", 1)
        reply = json.loads(line)
        if "refused" in reply:
            raise Refused(reply["refused"])
        return reply["ok"]

    def drivers(self):
        """The Vulkan drivers that the process has loaded."""
        try:
            maps = Path(f"/proc/{self.process.pid}/maps").read_text()
        except (OSError, AttributeError):
            return []
        names = {Path(line.split()[-1]).name for line in maps.splitlines() if "libvulkan_" in line}
        return sorted(names)
