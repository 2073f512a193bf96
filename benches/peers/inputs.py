"""Inputs from one seed, as files of little-endian float32, and what batch norm makes of them in float64."""

import hashlib
import json

import numpy as np

EPSILON = 1e-5
MOMENTUM = 0.1
NAMES = ("x", "dy", "gamma", "beta", "mean", "variance")


class Case:
    """A tensor in a layout, drawn by `draw(generator, size)`, and the running statistics of a layer before it: a function of
    the values by channel, or none for some that fit values of mean 0 and deviation 1."""

    def __init__(self, name, layout, shape, draw=None, *, plain=False, fixed=False, edit=None):
        self.name, self.layout, self.shape = name, layout, list(shape)
        self.draw = draw or (lambda generator, size: generator.standard_normal(size))
        # gamma 1 and beta 0, so that errors are those of the normalization; statistics of the batch itself for inference.
        self.plain, self.fixed = plain, fixed
        self.edit = edit or (lambda rows: None)

    @property
    def channels(self):
        return self.shape[-1 if self.layout == "channels-last" else 1]

    @property
    def key(self):
        return f"{self.name}, {self.layout} {'x'.join(map(str, self.shape))}"

    def by_channel(self, values):
        """Values of the whole tensor as [channels, values of each], float64."""
        axis = len(self.shape) - 1 if self.layout == "channels-last" else 1
        return np.moveaxis(values.reshape(self.shape), axis, 0).reshape(self.channels, -1).astype(np.float64)

    def from_channels(self, rows):
        """The inverse of `by_channel`."""
        rest = [
            size
            for axis, size in enumerate(self.shape)
            if axis != (len(self.shape) - 1 if self.layout == "channels-last" else 1)
        ]
        axis = -1 if self.layout == "channels-last" else 1
        return np.moveaxis(rows.reshape([self.channels, *rest]), 0, axis)

    def tensors(self, seed):
        # Drawn by channel, so that both layouts of a case hold the same values.
        text = f"{self.name} {self.channels} {int(np.prod(self.shape))}"
        stream = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
        generator = np.random.Generator(np.random.PCG64([seed, stream]))
        count = int(np.prod(self.shape)) // max(self.channels, 1)
        rows = np.asarray(self.draw(generator, (self.channels, count)), dtype=np.float32)
        self.edit(rows)
        dy = generator.standard_normal((self.channels, count)).astype(np.float32)
        vector = lambda low, high: generator.uniform(low, high, self.channels).astype(np.float32)
        gamma, beta, mean, variance = vector(0.5, 1.5), vector(-0.5, 0.5), vector(-0.5, 0.5), vector(0.5, 1.5)
        if self.plain:
            gamma, beta = np.ones_like(gamma), np.zeros_like(beta)
        if self.fixed:
            wide = rows.astype(np.float64)
            mean, variance = wide.mean(axis=1).astype(np.float32), wide.var(axis=1).astype(np.float32)
        x, dy = self.from_channels(rows), self.from_channels(dy)
        return dict(zip(NAMES, (x, dy, gamma, beta, mean, variance)))

    def write(self, root, seed):
        """The folder with the files, which are made where they are not there yet."""
        folder = root / hashlib.sha256(f"{self.key} {seed}".encode()).hexdigest()[:16]
        mark = folder / "case.json"
        if not mark.exists():
            folder.mkdir(parents=True, exist_ok=True)
            for name, values in self.tensors(seed).items():
                np.ascontiguousarray(values, dtype="<f4").tofile(folder / f"{name}.f32")
            mark.write_text(json.dumps({"case": self.key, "seed": seed}))
        return folder


def read(folder, name):
    return np.fromfile(folder / f"{name}.f32", dtype="<f4")


def reference(case, folder, operation):
    """The results in float64, by name."""
    x = case.by_channel(read(folder, "x"))
    if operation == "double":
        # A peer may copy instead, and says so by the name of its result.
        return {"y": case.from_channels(2 * x), "copy": case.from_channels(x)}
    gamma, beta, mean, variance = (read(folder, name).astype(np.float64)[:, None] for name in NAMES[2:])
    batch = operation in ("training", "step")
    n = x.shape[1]
    running = (mean, variance)
    if batch:
        mean = x.mean(axis=1, keepdims=True)
        variance = ((x - mean) ** 2).mean(axis=1, keepdims=True)
    invstd = 1 / np.sqrt(variance + EPSILON)
    normalized = (x - mean) * invstd
    results = {"y": case.from_channels(normalized * gamma + beta)}
    if batch:
        move = lambda old, new: (old + MOMENTUM * (new - old))[:, 0]
        results["mean"] = move(running[0], mean)
        results["variance"] = move(running[1], variance)
        results["unbiased variance"] = move(running[1], variance * (n / (n - 1) if n > 1 else np.nan))
    if operation == "step":
        dy = case.by_channel(read(folder, "dy"))
        dbeta = dy.sum(axis=1, keepdims=True)
        dgamma = (dy * normalized).sum(axis=1, keepdims=True)
        dx = gamma * invstd * (dy - dbeta / n - normalized * dgamma / n)
        results |= {"dx": case.from_channels(dx), "dgamma": dgamma[:, 0], "dbeta": dbeta[:, 0]}
    return results


def errors(results, exact):
    """The largest error of each result. Of y and of the running statistics in units of max(1, |exact|), of a gradient in units
    of the largest one. What is no number is None."""

    def error(name, value, scale):
        value = value.astype(np.float64).ravel()
        wanted = np.asarray(exact[name]).ravel()
        if value.size != wanted.size:
            return None
        scale = np.maximum(1, np.abs(wanted)) if scale is None else scale
        worst = (np.abs(value - wanted) / scale).max(initial=0)
        return float(worst) if np.isfinite(worst) else None

    found = {}
    for name, value in results.items():
        gradient = name in ("dx", "dgamma", "dbeta")
        largest = np.abs(exact[name]).max(initial=0) if gradient else None
        # Gradients that are zero have errors in units of 1.
        found[name] = error(name, value, (largest if largest > 1e-12 else 1) if gradient else None)
        if name == "variance":
            found["unbiased variance"] = error("unbiased variance", value, None)
    return found


FIRST, LAST = "channels-first", "channels-last"

TIMED = [
    Case("timed", FIRST, shape) for shape in ([32, 64, 56, 56], [32, 256, 28, 28], [32, 1024, 14, 14], [8, 2048, 7, 7])
] + [
    Case("timed", LAST, shape)
    for shape in ([32, 56, 56, 64], [32, 14, 14, 1024], [8, 7, 7, 2048], [4096, 1024], [65536, 64])
]

QUICK = [Case("timed", FIRST, [4, 64, 28, 28]), Case("timed", LAST, [4, 28, 28, 64]), Case("timed", LAST, [1024, 64])]


def normal(mean, deviation):
    return lambda generator, size: mean + deviation * generator.standard_normal(size)


def outlier(value):
    def edit(rows):
        rows[:, 0] = value

    return edit


def hard_cases():
    inputs = [
        ("mean 0, deviation 1", normal(0, 1), None),
        ("mean 1e4, deviation 1", normal(1e4, 1), None),
        ("mean 1e4, deviation 0.01", normal(1e4, 0.01), None),
        ("mean 1e6, deviation 1", normal(1e6, 1), None),
        ("constant 1e6 + 0.3125", normal(1e6 + 0.3125, 0), None),
        ("first value 1e6, then mean 0", normal(0, 1), outlier(1e6)),
        ("first value 0, then mean 1e4", normal(1e4, 1), outlier(0)),
    ]
    cases = []
    for layout, shape in ((FIRST, [32, 8, 56, 56]), (LAST, [32, 56, 56, 8])):
        cases += [Case(name, layout, shape, draw, plain=True, fixed=True, edit=edit) for name, draw, edit in inputs]
    large = [("mean 0, deviation 1, n = 1e7", normal(0, 1)), ("mean 1e4, deviation 0.01, n = 1e7", normal(1e4, 0.01))]
    for layout, shape in ((FIRST, [10, 1, 1000, 1000]), (LAST, [10, 1000, 1000, 1])):
        cases += [Case(name, layout, shape, draw, plain=True, fixed=True) for name, draw in large]
    return cases


def one_nan(rows):
    rows[1, 7] = np.nan


def odd_cases():
    """Cases without a number for an answer, in both layouts, and the operation that they are about."""
    cases = []
    for layout, arrange in ((FIRST, lambda n, c, h, w: [n, c, h, w]), (LAST, lambda n, c, h, w: [n, h, w, c])):
        nan = Case("a NaN in one channel", layout, arrange(4, 4, 6, 6), edit=one_nan)
        cases += [(nan, "training"), (nan, "inference")]
        cases.append((Case("one value per channel", layout, arrange(1, 4, 1, 1)), "training"))
        cases.append((Case("an empty batch", layout, arrange(0, 4, 6, 6)), "training"))
    return cases
