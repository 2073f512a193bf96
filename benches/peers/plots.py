"""Plots as SVG without a background, in colours that can be read on light and on dark."""

import math
from html import escape

TEXT = "#808080"
GRID = f'stroke="{TEXT}" stroke-opacity="0.3"'
# Okabe and Ito's, which people who see colours differently can tell apart; by library, ours first.
COLOURS = {
    "wgpu-batchnorm GPU": "#d55e00",
    "wgpu-batchnorm CPU": "#cc79a7",
    "Burn": "#0072b2",
    "ONNX Runtime WebGPU": "#009e73",
    "ONNX Runtime WebGPU, NCHW": "#56b4e9",
    "TensorFlow.js WebGPU": "#e69f00",
    "PyTorch CPU": "#a0522d",
    "ONNX Runtime CPU": "#7f7f00",
}
LEFT, RIGHT, ROW, TOP = 230, 20, 26, 56
WIDTH = 860


def dots(title, rows, points, line=None):
    """Rows of dots on a logarithmic axis. `points` has (row, library, value, whether it is off the axis)."""
    values = [value for _, _, value, off in points if not off and value > 0]
    if not values:
        values = [1.0]
    low = math.floor(math.log10(min(values + ([line] if line else []))))
    high = math.ceil(math.log10(max(values + ([line] if line else []))))
    high = max(high, low + 1)
    inner = WIDTH - LEFT - RIGHT
    place = lambda value: LEFT + inner * (min(max(math.log10(value), low), high) - low) / (high - low)
    libraries = [name for name in COLOURS if any(point[1] == name for point in points)]
    height = TOP + ROW * len(rows) + 30 + 20 * math.ceil(len(libraries) / 3)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="12" fill="{TEXT}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<text x="{LEFT}" y="18" font-size="14">{escape(title)}</text>',
    ]
    bottom = TOP + ROW * len(rows)
    for power in range(low, high + 1):
        x = place(10.0**power)
        label = f"{10.0**power:g}" if -2 <= power < 5 else f"1e{power}"
        parts.append(f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{bottom}" {GRID}/>')
        parts.append(f'<text x="{x:.1f}" y="{TOP - 14}" text-anchor="middle">{label}</text>')
    if line:
        x = place(line)
        parts.append(
            f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{bottom}" stroke="{COLOURS["wgpu-batchnorm GPU"]}" stroke-dasharray="4 3"/>'
        )
    for index, row in enumerate(rows):
        y = TOP + ROW * index + ROW / 2
        parts.append(f'<text x="{LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(row)}</text>')
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" {GRID}/>')
    for row, library, value, off in points:
        y = TOP + ROW * rows.index(row) + ROW / 2
        # A little apart, so that equal values are both seen.
        y += 2.4 * (libraries.index(library) - (len(libraries) - 1) / 2)
        x = WIDTH - RIGHT if off else place(value) if value > 0 else LEFT
        text = f"{library}: {'no number' if off else f'{value:.3g}'}"
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{COLOURS[library]}"><title>{escape(text)}</title></circle>'
        )
    for index, library in enumerate(libraries):
        x, y = 20 + 275 * (index % 3), bottom + 28 + 20 * (index // 3)
        parts.append(
            f'<circle cx="{x}" cy="{y - 4}" r="4.5" fill="{COLOURS[library]}"/><text x="{x + 10}" y="{y}">{escape(library)}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def ratios(results, operation, name):
    rows, points = [], []
    for shape in results.shapes:
        row = f"{shape[1]} {shape[0]}"
        rows.append(row)
        for peer in results.others():
            ratio = results.ratios(peer, results.ours(peer), operation).get(shape)
            if ratio is not None:
                points.append((row, peer, ratio, False))
    return dots(f"Time over ours, {name}: right of the dashed line this library is faster", rows, points, line=1.0)


def errors(results, passed):
    points = []
    for peer in (peer["name"] for peer in results.peers):
        for (name, kind, result), layouts in results.hard_errors(peer).items():
            if kind == passed and result == "y":
                worst = max(layouts.values())
                points.append((name, peer, worst, worst == math.inf))
    return dots(f"Largest error of y, {passed} (left edge: none)", results.inputs(), points)
