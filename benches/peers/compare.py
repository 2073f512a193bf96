"""Measures the peers beside this library: times on the same work, errors on hard inputs, answers to odd ones. Writes JSON that
`report` makes RESULTS.md from."""

import argparse
import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import inputs
from processes import FOLDER, PEERS, Process, Refused, Skipped

OPERATIONS = ("double", "inference", "training", "step")
# Errors above these mean that a peer has not done the work that its time is given for: far above what float32 loses on
# values of mean 0 and deviation 1, far below a forgotten term.
RIGHT = 1e-3


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(
        prog="benches/peers/run",
        description=__doc__,
        epilog="Peers: " + "; ".join(peer.name for peer in PEERS),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser.add_argument(
        "--output",
        type=Path,
        default=argparse.SUPPRESS,
        help="where the numbers go (default: results.json beside this file, with --quick or --only trial.json)",
    )
    parser.add_argument("--rounds", type=int, default=9, help="rounds, in each of which every peer is timed once")
    parser.add_argument("--block", type=float, default=0.25, help="seconds that repeats fill in one round")
    parser.add_argument(
        "--limit", type=float, default=180, help="seconds for anything asked of a peer, and for all rounds of a cell"
    )
    parser.add_argument("--threads", type=int, default=available, help="threads and cores of every process")
    parser.add_argument("--seed", type=int, default=7, help="seed of all inputs")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PART",
        help="only peers with PART in their name, beside this library",
    )
    parser.add_argument(
        "--parts",
        default="timed,hard,odd",
        help="which of the three to measure; the others stay as the output has them",
    )
    parser.add_argument("--quick", action="store_true", help="small shapes, 2 rounds, short blocks: for trying it out")
    parser.add_argument(
        "--software", action="store_true", help="let all GPU peers see only lavapipe, Mesa's software Vulkan adapter"
    )
    parser.add_argument("--no-set-up", action="store_true", help="take the peers as they are set up")
    options = parser.parse_args()
    if "output" not in options:
        options.output = FOLDER / ("trial.json" if options.quick or options.only else "results.json")
    if options.quick:
        options.rounds, options.block = 2, 0.03
    unknown = set(options.parts.split(",")) - {"timed", "hard", "odd"}
    if unknown or options.rounds < 1 or options.threads < 1 or options.threads > available:
        parser.error(
            f"unknown part {unknown.pop()}" if unknown else f"--rounds from 1, --threads from 1 to {available}"
        )
    return options


def environment(options):
    """The same number of threads for every kind of pool, and the adapter."""
    threads = str(options.threads)
    names = ("PEER_THREADS", "RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "LP_NUM_THREADS")
    chosen = dict.fromkeys(names, threads)
    if options.software:
        folders = ("/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d")
        found = [file for folder in folders for file in sorted(Path(folder).glob("lvp_icd*.json"))]
        if not found:
            sys.exit(f"no lavapipe in {', '.join(folders)}: scripts/setup installs it")
        chosen["VK_DRIVER_FILES"] = chosen["VK_ICD_FILENAMES"] = str(found[0])
    return chosen


def first_line(*command):
    try:
        ended = subprocess.run(command, capture_output=True, text=True, cwd=FOLDER, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return ended.stdout.strip().splitlines()[0] if ended.stdout.strip() else ""


def about(options):
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor()
    return {
        "date": datetime.date.today().isoformat(),
        "command": "benches/peers/run " + shlex.join(sys.argv[1:]),
        "revision": first_line("git", "rev-parse", "--short=10", "HEAD"),
        "changed": bool(first_line("git", "status", "--porcelain", "--", "../../src", "../../shaders")),
        "processor": processor,
        "cores": os.cpu_count(),
        "threads": options.threads,
        "system": f"{platform.system()} {platform.machine()}",
        "rounds": options.rounds,
        "block": options.block,
        "limit": options.limit,
        "seed": options.seed,
    }


class Comparison:
    def __init__(self, options, processes):
        self.options, self.processes = options, processes
        self.data = FOLDER / "data"
        self.scratch = tempfile.TemporaryDirectory()

    def prepare(self, process, case, operation):
        folder = case.write(self.data, self.options.seed)
        request = {
            "do": "prepare",
            "operation": operation,
            "layout": case.layout,
            "shape": case.shape,
            "folder": str(folder),
        }
        process.ask(request, self.options.limit)

    def results(self, process, case):
        into = Path(self.scratch.name)
        names = process.ask({"do": "results", "into": str(into)}, self.options.limit)
        return {name: inputs.read(into, name) for name in names}

    def ready(self, process, case, operation, exact):
        """A cell ready to be timed: the errors of its results, and how many repeats fill a block."""
        cell = {"layout": case.layout, "shape": case.shape, "operation": operation, "peer": process.peer.name}
        limit = self.options.limit
        try:
            self.prepare(process, case, operation)
            cell["errors"] = inputs.errors(self.results(process, case), exact)
            judged = {
                name: error for name, error in cell["errors"].items() if name not in ("variance", "unbiased variance")
            }
            cell["right"] = all(error is not None and error < RIGHT for error in judged.values())
            # The first runs are compilers' and tuners'.
            once = min(process.ask({"do": "time", "repeats": 1}, limit)["wall"] for _ in range(4))
            # Waiting for the device is a part of one run: several in one submission are nearer to what a run takes.
            several = max(1, min(200, round(0.2 * self.options.block / once)))
            once = process.ask({"do": "time", "repeats": several}, limit)["wall"] / several
            cell["repeats"] = max(1, min(10_000, round(self.options.block / once)))
            if once * cell["repeats"] * self.options.rounds > limit:
                raise Skipped(f"one run takes {once:.3g} s: {self.options.rounds} rounds would take over {limit:g} s")
            cell |= {"wall": [], "cpu": []}
        except Refused as error:
            cell["refused"] = str(error)
        except Skipped as error:
            cell["skipped"] = str(error)
        return cell

    def timed(self):
        cells = []
        for case in inputs.QUICK if self.options.quick else inputs.TIMED:
            for operation in OPERATIONS:
                exact = inputs.reference(case, case.write(self.data, self.options.seed), operation)
                group = [(process, self.ready(process, case, operation, exact)) for process in self.processes]
                del exact
                for round_ in range(self.options.rounds):
                    # Each round begins with another peer.
                    start = round_ % len(group)
                    for process, cell in group[start:] + group[:start]:
                        if "wall" not in cell or "refused" in cell or "skipped" in cell:
                            continue
                        # Threads that spin after their work do so in nobody's time.
                        time.sleep(0.05)
                        try:
                            spent = process.ask({"do": "time", "repeats": cell["repeats"]}, self.options.limit)
                            for kind in ("wall", "cpu"):
                                cell[kind].append(spent[kind] / cell["repeats"])
                        except Refused as error:
                            cell["refused"] = str(error)
                        except Skipped as error:
                            cell["skipped"] = str(error)
                for process, cell in group:
                    if process.process:
                        try:
                            process.ask({"do": "release"}, self.options.limit)
                        except (Refused, Skipped):
                            pass
                    outcome = cell.get("refused") or cell.get("skipped") or f"{1e3 * np.median(cell['wall']):.3f} ms"
                    say(
                        f"{case.key} {operation} | {process.peer.name}: {outcome[:90]}{'' if cell.get('right', True) else ' WRONG'}"
                    )
                cells += [cell for _, cell in group]
        return cells

    def hard(self):
        found = []
        for case in inputs.hard_cases():
            folder = case.write(self.data, self.options.seed)
            exact = {
                operation: inputs.reference(case, folder, operation) for operation in ("inference", "training", "step")
            }
            for process in self.processes:
                for operation in ("inference", "step", "training"):
                    row = {
                        "input": case.name,
                        "layout": case.layout,
                        "shape": case.shape,
                        "operation": operation,
                        "peer": process.peer.name,
                    }
                    try:
                        self.prepare(process, case, operation)
                        row["errors"] = inputs.errors(self.results(process, case), exact[operation])
                    except Refused as error:
                        row["refused"] = str(error)
                    except Skipped as error:
                        row["skipped"] = str(error)
                    found.append(row)
                    say(
                        f"{case.key} {operation} | {process.peer.name}: {row.get('errors') or row.get('refused') or row.get('skipped')}"[
                            :200
                        ]
                    )
                    # A step has the forward pass in it.
                    if operation == "step" and "errors" in row:
                        break
        return found

    def odd(self):
        found = []
        for case, operation in inputs.odd_cases():
            folder = case.write(self.data, self.options.seed)
            with np.errstate(all="ignore"):
                exact = inputs.reference(case, folder, operation) if 0 not in case.shape else {}
            before = {name: inputs.read(folder, name) for name in ("mean", "variance")}
            for process in self.processes:
                row = {
                    "case": case.name,
                    "layout": case.layout,
                    "shape": case.shape,
                    "operation": operation,
                    "peer": process.peer.name,
                }
                try:
                    self.prepare(process, case, operation)
                    results = self.results(process, case)
                    row["answer"] = describe(case, operation, results, exact, before)
                except Refused as error:
                    row["refused"] = str(error)
                except Skipped as error:
                    row["skipped"] = str(error)
                found.append(row)
                say(
                    f"{case.key} {operation} | {process.peer.name}: {row.get('answer') or row.get('refused') or row.get('skipped')}"[
                        :200
                    ]
                )
        return found


def state(name, after, before, exact):
    """What became of a running statistic."""
    if not np.isfinite(after).any():
        return f"running {name} NaN"
    if np.array_equal(after, before):
        return f"running {name} unchanged"
    close = lambda wanted: wanted is not None and np.allclose(after, wanted, rtol=1e-5, atol=1e-6, equal_nan=True)
    if name == "variance" and not close(exact.get(name)) and close(exact.get("unbiased variance")):
        return "running variance moved by the unbiased variance"
    return f"running {name} {'moved' if close(exact.get(name)) else 'moved otherwise: ' + ' '.join(f'{value:.4g}' for value in after)}"


def describe(case, operation, results, exact, before):
    """What a peer made of an odd case, in words."""
    running = [state(name, results[name], before[name], exact) for name in ("mean", "variance") if name in results]
    y = results["y"]
    if y.size == 0:
        return "; ".join(["y is empty", *running])
    if case.name.startswith("a NaN"):
        rows, wanted = case.by_channel(y), case.by_channel(np.asarray(exact["y"], dtype=np.float64))
        nan = np.isnan(rows[1])
        others = [channel for channel in range(case.channels) if channel != 1]
        clean = np.allclose(rows[others], wanted[others], rtol=1e-3, atol=1e-3)
        here = "all of its channel NaN" if nan.all() else f"{nan.sum()} of {nan.size} values of its channel NaN"
        if "mean" in results:
            only = [
                bool(np.isnan(results[name][1])) and np.isfinite(np.delete(results[name], 1)).all()
                for name in ("mean", "variance")
            ]
            running = [
                "its running statistics NaN, the others' right"
                if all(only)
                else f"running mean {results['mean']}, running variance {results['variance']}"
            ]
        return "; ".join([here, "the other channels right" if clean else "OTHER CHANNELS WRONG", *running])
    values = "y = beta" if np.allclose(y, np.asarray(exact["y"]).ravel(), atol=1e-6) else f"y = {y}"
    return "; ".join([values, *running])


def main():
    options = arguments()
    chosen = [
        peer
        for peer in PEERS
        if peer.folder == "ours" or not options.only or any(part.lower() in peer.name.lower() for part in options.only)
    ]
    given = environment(options)
    report = {"about": about(options), "peers": []}
    if options.output.exists():
        old = json.loads(options.output.read_text())
        report |= {
            part: old[part] for part in ("timed", "hard", "odd") if part in old and part not in options.parts.split(",")
        }
    processes = []
    for peer in chosen:
        entry = {"name": peer.name, "gpu": peer.gpu}
        report["peers"].append(entry)
        try:
            if not options.no_set_up:
                say(f"setting up {peer.name}")
                subprocess.run([peer.command, "--set-up"], check=True, stdout=sys.stderr)
            process = Process(peer, options.threads, given)
            entry |= process.ask({"do": "about"}, options.limit)
            entry["drivers"] = process.drivers() if peer.gpu else []
            processes.append(process)
        except (subprocess.CalledProcessError, OSError, Refused, Skipped) as error:
            entry["failed"] = str(error)
            say(f"{peer.name} is left out: {error}")
    comparison = Comparison(options, processes)
    for part in ("timed", "hard", "odd"):
        if part in options.parts.split(","):
            report[part] = getattr(comparison, part)()
            # Written after each part, in one piece.
            temporary = options.output.with_suffix(".part")
            temporary.write_text(json.dumps(report, indent=1) + "\n")
            temporary.replace(options.output)
    for process in processes:
        process.stop()
    say(f"wrote {options.output}")
    failed = [entry["name"] for entry in report["peers"] if "failed" in entry]
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
