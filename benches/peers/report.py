"""Makes RESULTS.md and its plots from results.json and NOTES.md, and the comparison that README.md and the crate's documentation
quote."""

import argparse
import json
import math
import statistics
import tempfile
from pathlib import Path

import plots

FOLDER = Path(__file__).parent.resolve()
ROOT = FOLDER.parent.parent
GPU, CPU = "wgpu-batchnorm GPU", "wgpu-batchnorm CPU"
OURS = (GPU, CPU)
OPERATIONS = {"inference": "inference", "training": "training forward", "step": "forward + backward"}
DOUBLE = "x * 2"


def write(path, text):
    """In one piece."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    temporary = Path(file.name)
    temporary.chmod(0o644)
    temporary.replace(path)


def table(header, rows):
    line = lambda cells: "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
    return [line(header), line(["---"] * len(header)), *map(line, rows), ""]


def number(value, digits=3):
    """Three significant digits, without an exponent in the range that people read."""
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e6:
        return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


def times(ratio):
    return f"{number(ratio, 2 if ratio < 100 else 3)}x"


class Cell:
    """A peer's rounds on one shape and operation."""

    def __init__(self, raw):
        self.peer, self.operation = raw["peer"], raw["operation"]
        self.layout, self.shape = raw["layout"], raw["shape"]
        self.refused = raw.get("refused") or raw.get("skipped")
        self.right = raw.get("right", False)
        self.wrong = not self.refused and not self.right
        if not self.refused:
            self.wall, self.cpu = statistics.median(raw["wall"]), statistics.median(raw["cpu"])
            rounds = raw["wall"] if len(raw["wall"]) > 1 else raw["wall"] * 2
            low, _, high = statistics.quantiles(rounds, n=4, method="inclusive")
            self.spread = (high - low) / 2 / self.wall


class Results:
    def __init__(self, raw):
        self.raw = raw
        self.about = raw["about"]
        self.peers = [peer for peer in raw["peers"]]
        self.gpu = {peer["name"] for peer in self.peers if peer["gpu"]}
        self.cells = {}
        self.shapes = []
        for entry in raw.get("timed", []):
            cell = Cell(entry)
            shape = (cell.layout, "x".join(map(str, cell.shape)))
            if shape not in self.shapes:
                self.shapes.append(shape)
            self.cells[shape, cell.operation, cell.peer] = cell

    def others(self):
        return [peer["name"] for peer in self.peers if peer["name"] not in OURS]

    def cell(self, shape, operation, peer):
        """What was timed, and right."""
        cell = self.cells.get((shape, operation, peer))
        return cell if cell and cell.right and not cell.refused else None

    def ours(self, peer):
        """This library on what the peer runs on."""
        return GPU if peer in self.gpu else CPU

    def ratios(self, peer, ours, operation, layouts=None, kind="wall"):
        """The peer's time over ours, by shape."""
        found = {}
        for shape in self.shapes:
            theirs, own = self.cell(shape, operation, peer), self.cell(shape, operation, ours)
            if theirs and own and (layouts is None or shape[0] in layouts):
                found[shape] = getattr(theirs, kind) / getattr(own, kind)
        return found

    def hard_errors(self, peer):
        """The errors on the hard inputs, by (input, pass, result): {layout: error}. No number is infinite."""
        found = {}
        for row in self.raw.get("hard", []):
            if row["peer"] != peer or "errors" not in row:
                continue
            passed = "inference" if row["operation"] == "inference" else "training"
            for result in ("y", "dx"):
                if result in row["errors"]:
                    error = row["errors"][result]
                    layouts = found.setdefault((row["input"], passed, result), {})
                    layouts[row["layout"]] = math.inf if error is None else error
        return found

    def inputs(self):
        return list(dict.fromkeys(row["input"] for row in self.raw.get("hard", [])))


def span(ratios):
    low, high = min(ratios.values()), max(ratios.values())
    return times(low) if len(ratios) == 1 else f"{times(low)} to {times(high)}"


def worst(ratios, most=False):
    (layout, shape), _ = (max if most else min)(ratios.items(), key=lambda item: item[1])
    return f"{shape} {layout}"


def goals(results):
    """Each goal: what was asked, what was measured, whether it holds."""
    rows = []

    def speed(goal, peer, ours, operation, bound, layouts=None):
        ratios = results.ratios(peer, ours, operation, layouts)
        name = f"{goal}: {OPERATIONS[operation]}"
        if not ratios:
            rows.append((name, "not measured", "-"))
            return
        reached = sum(ratio >= bound for ratio in ratios.values())
        holds = "holds" if reached == len(ratios) else f"**holds on {reached} of {len(ratios)} shapes**"
        rows.append((name, f"{span(ratios)}, least on {worst(ratios)}", holds))

    for operation in ("training", "step"):
        speed("at least 10 times as fast as Burn", "Burn", GPU, operation, 10)
    # The better of the two layouts, shape by shape.
    both = [results.ratios(name, GPU, "inference") for name in ("ONNX Runtime WebGPU", "ONNX Runtime WebGPU, NCHW")]
    better = {shape: min(ratios[shape] for ratios in both if shape in ratios) for shape in {**both[0], **both[1]}}
    name = "at least 2 times as fast as ONNX Runtime WebGPU's better layout: inference"
    if better:
        reached = sum(ratio >= 2 for ratio in better.values())
        holds = "holds" if reached == len(better) else f"**holds on {reached} of {len(better)} shapes**"
        rows.append((name, f"{span(better)}, least on {worst(better)}", holds))
    else:
        rows.append((name, "not measured", "-"))
    for operation in ("training", "step"):
        speed("at least 30 times as fast as TensorFlow.js", "TensorFlow.js WebGPU", GPU, operation, 30)
    spent = results.ratios("PyTorch CPU", GPU, "step", ["channels-first"], "cpu")
    name = "no more CPU seconds on this adapter than PyTorch's kernels for the processor, channels-first: forward + backward"
    if spent:
        reached = sum(ratio >= 1 for ratio in spent.values())
        holds = "holds" if reached == len(spent) else f"**holds on {reached} of {len(spent)} shapes**"
        rows.append((name, f"PyTorch spends {span(spent)} of ours, least on {worst(spent)}", holds))
    else:
        rows.append((name, "not measured", "-"))
    for operation in ("training", "step"):
        speed(
            "CPU path at least 3 times as fast as PyTorch, channels-first",
            "PyTorch CPU",
            CPU,
            operation,
            3,
            ["channels-first"],
        )
    for operation in ("training", "step"):
        speed(
            "CPU path level with PyTorch (0.95x or more), channels-last",
            "PyTorch CPU",
            CPU,
            operation,
            0.95,
            ["channels-last"],
        )
    for peer in results.others():
        passes = [passed for passed in ("training", "inference") if largest(results, peer, passed) is not None]
        if not passes:
            continue
        theirs, own = (max(largest(results, name, passed) for passed in passes) for name in (peer, results.ours(peer)))
        rows.append(
            (
                f"largest error of y on the hard inputs at least 100 times below {peer}'s: {' and '.join(passes)}",
                f"{number(own)} against {'no number' if theirs == math.inf else number(theirs)}",
                "holds" if theirs >= 100 * own else "**does not hold**",
            )
        )
    return rows


def largest(results, peer, passed):
    """The largest error of y on the hard inputs."""
    found = [
        error
        for (_, kind, result), layouts in results.hard_errors(peer).items()
        if kind == passed and result == "y"
        for error in layouts.values()
    ]
    return max(found, default=None)


def summary(results, operation, kind):
    """Times over ours by shape and peer; below 1 the peer is ahead."""
    peers = [peer for peer in results.others() if results.ratios(peer, results.ours(peer), operation)]
    rows = []
    for shape in results.shapes:
        row = [f"{shape[1]} {shape[0]}"]
        for peer in peers:
            cell = results.cells.get((shape, operation, peer))
            ratio = results.ratios(peer, results.ours(peer), operation, kind=kind).get(shape)
            if ratio is not None:
                row.append(f"**{times(ratio)}**" if ratio < 1 else times(ratio))
            else:
                row.append("wrong" if cell and cell.wrong else "-")
        rows.append(row)
    return table(["shape", *peers], rows) if peers else ["Not measured.", ""]


def detail(results, shape):
    rows = []
    for operation in ("double", *OPERATIONS):
        for peer in (peer["name"] for peer in results.peers):
            cell = results.cells.get((shape, operation, peer))
            if not cell or cell.refused:
                continue
            double = results.cells.get((shape, "double", peer))
            own = results.cell(shape, operation, results.ours(peer))
            rows.append(
                (
                    DOUBLE if operation == "double" else OPERATIONS[operation],
                    peer,
                    number(1e3 * cell.wall) + (" (wrong result)" if cell.wrong else ""),
                    f"{100 * cell.spread:.0f}%",
                    number(1e3 * cell.cpu),
                    times(cell.wall / own.wall) if own and peer not in OURS else "",
                    times(cell.wall / double.wall) if double and not double.refused else "",
                )
            )
    header = ["operation", "library", "wall ms", "+-", "CPU ms", "wall over ours", "over its own " + DOUBLE]
    return [f"### {shape[1]} {shape[0]}", "", *table(header, rows)]


def refusals(results):
    """What was refused, each text once."""
    texts = {}
    for raw in results.raw.get("timed", []):
        for kind in ("refused", "skipped"):
            if kind in raw:
                key = (raw["peer"], kind, raw[kind])
                texts.setdefault(key, []).append((raw["operation"], "x".join(map(str, raw["shape"])), raw["layout"]))
    rows = []
    for (peer, kind, text), places in texts.items():
        operations = ", ".join(dict.fromkeys(OPERATIONS.get(place[0], DOUBLE) for place in places))
        shapes = list(dict.fromkeys(f"{shape} {layout}" for _, shape, layout in places))
        layouts = list(dict.fromkeys(layout for _, _, layout in places))
        where = f"{operations}; {', '.join(shapes if len(shapes) < 3 else layouts)}"
        rows.append((peer, where, ("skipped: " if kind == "skipped" else "") + one_line(text)))
    return table(["library", "what", "in its words, or those of its part here"], rows) if rows else ["Nothing.", ""]


def one_line(text):
    return " ".join(text.split())[:300]


def error_table(results, passed, result):
    peers = [peer["name"] for peer in results.peers]
    found = {peer: results.hard_errors(peer) for peer in peers}
    peers = [peer for peer in peers if any(key[1:] == (passed, result) for key in found[peer])]
    rows = []
    for name in results.inputs():
        row = [name]
        for peer in peers:
            layouts = found[peer].get((name, passed, result))
            text = lambda error: "no number" if error == math.inf else number(error)
            row.append("-" if not layouts else " / ".join(dict.fromkeys(text(layouts[layout]) for layout in layouts)))
        rows.append(row)
    return table(["input", *peers], rows) if peers else ["Not measured.", ""]


def odd(results):
    lines = []
    entries = results.raw.get("odd", [])
    for case, operation in dict.fromkeys((row["case"], row["operation"]) for row in entries):
        rows = []
        for peer in (peer["name"] for peer in results.peers):
            answers = {}
            for row in entries:
                if (row["case"], row["operation"], row["peer"]) == (case, operation, peer):
                    text = row.get("answer") or f"refuses: {one_line(row.get('refused') or row.get('skipped'))}"
                    answers.setdefault(text, []).append(row["layout"])
            if len(answers) > 1:
                # That a layout is not there is said above.
                answers = {
                    text: layouts
                    for text, layouts in answers.items()
                    if "is channels-first" not in text and "no channels-last" not in text
                }
            for text, layouts in answers.items():
                rows.append((peer, text if len(answers) == 1 else f"{', '.join(layouts)}: {text}"))
        lines += [
            f"### {case[0].upper()}{case[1:]}: {OPERATIONS[operation]}",
            "",
            *table(["library", "what it does"], rows),
        ]
    return lines


def ahead(results):
    """Where a peer is faster."""
    rows = []
    for operation in OPERATIONS:
        for peer in results.others():
            ratios = results.ratios(peer, results.ours(peer), operation)
            faster = {shape: ratio for shape, ratio in ratios.items() if ratio < 1}
            for shape, ratio in faster.items():
                rows.append((peer, OPERATIONS[operation], f"{shape[1]} {shape[0]}", times(ratio)))
    if not rows:
        return ["No peer is faster than this library on the same kind of device on any shape and operation.", ""]
    return ["Times of the peer over ours:", "", *table(["library", "operation", "shape", "its time over ours"], rows)]


def versions(peer):
    if "failed" in peer:
        return f"not set up: {one_line(peer['failed'])}"
    return ", ".join(f"{name} {version}" for name, version in peer.get("versions", {}).items())


def adapter(peer):
    if not peer["gpu"]:
        return "the processor"
    told = ", ".join(text for text in (peer.get("adapter"), peer.get("driver")) if text)
    return told or f"not told; the only Vulkan driver in its process is {', '.join(peer.get('drivers', [])) or 'none'}"


def short(results):
    """The comparison that is quoted: a line for each peer."""
    rows = []
    for peer in results.others():
        row = [peer]
        for operation in OPERATIONS:
            ratios = results.ratios(peer, results.ours(peer), operation)
            row.append(span(ratios) if ratios else "-")
        row += [
            number(error) if error is not None and error < math.inf else "-"
            for error in [largest(results, peer, "training")]
        ]
        row += [
            number(error) if error is not None and error < math.inf else "-"
            for error in [largest(results, peer, "inference")]
        ]
        rows.append(row)
    for name in OURS:
        errors = [largest(results, name, passed) for passed in ("training", "inference")]
        rows.append([name, "1", "1", "1", *(number(error) if error is not None else "-" for error in errors)])
    return table(["library", *OPERATIONS.values(), "error, training", "error, inference"], rows)


def quote(path, results, prefix, lines):
    """Puts lines between the marks of a file, if it has them."""
    text = path.read_text()
    start, end = f"{prefix}<!-- benches/peers/report -->\n", f"{prefix}<!-- end -->\n"
    if start not in text:
        return
    before, rest = text.split(start, 1)
    after = rest.split(end, 1)[1]
    body = "".join(f"{prefix}{line}".rstrip() + "\n" for line in lines)
    write(path, before + start + body + end + after)


def main():
    parser = argparse.ArgumentParser(
        prog="benches/peers/report", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--input", type=Path, default=FOLDER / "results.json", help="what benches/peers/run wrote")
    parser.add_argument("--output", type=Path, default=FOLDER / "RESULTS.md", help="the page; its plots lie beside it")
    parser.add_argument("--no-quotes", action="store_true", help="leave README.md and src/lib.rs as they are")
    options = parser.parse_args()
    results = Results(json.loads(options.input.read_text()))
    about = results.about
    folder = options.output.parent

    lines = [
        "# Beside other libraries",
        "",
        "Made by `benches/peers/report` from `results.json`; [README.md](README.md) says what is measured and how to repeat it.",
        "",
        f"- Measured on {about['date']} by `{about['command']}` at revision {about['revision']}{' with changes' if about['changed'] else ''}.",
        f"- {about['system']}, {about['processor']}, {about['cores']} cores; {about['threads']} threads for every library.",
        f"- Medians of {about['rounds']} rounds of about {about['block']} s for each library, timed in turn; +- is half of what lies between the quartiles.",
        "",
        *table(
            ["library", "versions", "runs on"],
            [(peer["name"], versions(peer), adapter(peer)) for peer in results.peers],
        ),
        "## In short",
        "",
        "Times over ours, from the least to the most over the shapes: over our shaders for what runs on the adapter, over our CPU",
        "path for what runs on the processor. Errors are the largest of y on the hard inputs.",
        "",
        *short(results),
        "## Goals",
        "",
        *table(["goal", "measured", ""], goals(results)),
        "## Where a peer is ahead",
        "",
        *ahead(results),
        (FOLDER / "NOTES.md").read_text().strip(),
        "",
    ]
    for operation, name in OPERATIONS.items():
        picture = f"{operation}.svg"
        write(folder / picture, plots.ratios(results, operation, name))
        lines += [
            f"## Times over ours: {name}",
            "",
            f"![Times over ours, {name}]({picture})",
            "",
            "Wall time. Above 1 this library is faster, below 1 (bold) the peer is.",
            "",
            *summary(results, operation, "wall"),
            "CPU seconds of the process, all threads:",
            "",
            *summary(results, operation, "cpu"),
        ]
    lines += ["## Refused", "", *refusals(results)]
    for passed in ("training", "inference"):
        picture = f"errors-{passed}.svg"
        write(folder / picture, plots.errors(results, passed))
        lines += [
            f"## Errors on hard inputs: {passed}",
            "",
            f"![Errors, {passed}]({picture})",
            "",
            "The largest `|y - y64| / max(1, |y64|)`, where y64 is computed in float64; channels-first / channels-last where they differ.",
            "",
            *error_table(results, passed, "y"),
        ]
    lines += [
        "The gradient of x in training, in units of its largest value:",
        "",
        *error_table(results, "training", "dx"),
        "## Odd inputs",
        "",
        *odd(results),
        "## All times",
        "",
    ]
    for shape in results.shapes:
        lines += detail(results, shape)
    write(options.output, "\n".join(lines).rstrip() + "\n")

    if not options.no_quotes:
        adapters = next((adapter(peer) for peer in results.peers if peer["name"] == GPU), "")
        told = f"On {adapters}, {about['threads']} threads, {about['date']}"
        quote(ROOT / "README.md", results, "", ["", f"{told}:", "", *short(results)])
        quote(ROOT / "src/lib.rs", results, "//! ", ["", f"{told}:", "", *short(results)[:-1]])


if __name__ == "__main__":
    main()
