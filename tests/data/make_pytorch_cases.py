"""Makes pytorch/*.safetensors: cases for `wgpu-batchnorm check`, and for tests/pytorch.rs.

    pip install torch==2.15.0 safetensors==0.8.0 numpy && python tests/data/make_pytorch_cases.py

Made with PyTorch 2.15.0 and safetensors 0.8.0 on a CPU. Inputs are stored as f32, or as f16 or bf16. What is expected is
computed by PyTorch in float64 from the stored values, through autograd, and stored as f64. Each case is computed once more
in float32, to see that PyTorch's own f32 result lies within what `check` allows; but for the one of mean 1e4, where it
does not.

Derivatives of activations jump at their corners. No case has a value so near a corner that rounding decides its side.
"""

import json
import pathlib

import safetensors
import safetensors.torch
import torch
from torch.nn import BatchNorm1d, BatchNorm2d, BatchNorm3d, functional

VERSIONS = {"torch": "2.15.0", "safetensors": "0.8.0"}
for module in [torch, safetensors]:
    given, needed = module.__version__.split("+")[0], VERSIONS[module.__name__]
    assert given == needed, f"{module.__name__} {given}: the files were made with {needed}"

FOLDER = pathlib.Path(__file__).with_name("pytorch")
HALVES = {torch.float16: "f16", torch.bfloat16: "bf16"}

ACTIVATIONS = {
    "none": lambda z, alpha: z,
    "relu": lambda z, alpha: functional.relu(z),
    "leaky_relu": lambda z, alpha: functional.leaky_relu(z, alpha),
    "relu6": lambda z, alpha: functional.relu6(z),
    "silu": lambda z, alpha: functional.silu(z),
    "gelu": lambda z, alpha: functional.gelu(z),
    "gelu_tanh": lambda z, alpha: functional.gelu(z, approximate="tanh"),
}
CORNERS = {"relu": [0], "leaky_relu": [0], "relu6": [0, 6]}

torch.set_default_dtype(torch.float64)
torch.use_deterministic_algorithms(True)
random = torch.Generator()


def draw(*sizes, mean=0.0, deviation=1.0, dtype=torch.float32):
    """Normally distributed values, rounded to what the file can hold."""
    return (mean + deviation * torch.randn(sizes, generator=random)).to(dtype)


def uniform(size, low, high):
    """Values of one per channel."""
    return (low + (high - low) * torch.rand(size, generator=random)).float()


def new_layer(kind, channels, *, momentum=0.1, epsilon=1e-5, affine=True, running=True):
    """A layer in the middle of its training; its parameters and statistics are values of f32."""
    layer = kind(channels, eps=epsilon, momentum=momentum, affine=affine, track_running_stats=running)
    with torch.no_grad():
        if affine:
            layer.weight.copy_(uniform(channels, 0.5, 2.0))
            layer.bias.copy_(uniform(channels, -1.0, 1.0))
        if running:
            layer.running_mean.copy_(uniform(channels, -1.0, 3.0))
            layer.running_var.copy_(uniform(channels, 0.5, 4.0))
            layer.num_batches_tracked.fill_(7)
    return layer


def run(layer, tensors, channels_last, activation, alpha):
    """What the layer makes of the tensors, in the layer's own type, under the names of a case file."""
    dtype = next(iter(layer.state_dict().values()), torch.empty(())).dtype
    leaf = {name: tensor.detach().to(dtype).requires_grad_() for name, tensor in tensors.items()}
    x, residual, dy = leaf["input"], leaf.get("residual"), leaf["grad_output"].detach()
    # PyTorch has its channels second.
    z = layer(x.movedim(-1, 1)).movedim(1, -1) if channels_last else layer(x)
    if residual is not None:
        z = z + residual
    for corner in CORNERS.get(activation, []):
        assert (z - corner).abs().min() > 1e-4, f"a value beside the corner {corner}"
    y = ACTIVATIONS[activation](z, alpha)
    layer.zero_grad()
    y.backward(dy)
    expected = {"output": y, "grad_input": x.grad}
    if residual is not None:
        expected["grad_residual"] = residual.grad
    if layer.affine:
        expected |= {"grad_weight": layer.weight.grad, "grad_bias": layer.bias.grad}
    if layer.track_running_stats:
        expected |= {"running_mean": layer.running_mean, "running_var": layer.running_var}
    # A copy: the next step moves running statistics where they are.
    return {name: tensor.detach().clone() for name, tensor in expected.items()}


def check(name, ours, exact):
    """That float32 agrees with float64 within the tolerances of `check`."""
    for key, tensor in ours.items():
        rtol, atol = (1e-4, 1e-5) if key.startswith("grad") else (1e-5, 1e-6)
        assert torch.allclose(tensor.double(), exact[key], rtol=rtol, atol=atol), f"{name}: {key} differs in float32"


def in_order(file):
    """The bytes of a file with its metadata in the order of the alphabet: safetensors orders tensors only."""
    length = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"))
    assert len(text) <= length
    return file[:8] + text.encode().ljust(length) + file[8 + length :]


def case(name, layer, sizes, *, mean=1.0, deviation=1.5, dtype=torch.float32, channels_last=False, activation="none",
         alpha=None, residual=False):
    """Writes one case; in training mode the layer moves on."""
    tensors = {"input": draw(*sizes, mean=mean, deviation=deviation, dtype=dtype)}
    tensors["grad_output"] = draw(*sizes, dtype=dtype)
    if residual:
        tensors["residual"] = draw(*sizes, dtype=dtype)

    # From here on the layer is what the file says: f32.
    twin = type(layer)(layer.num_features, eps=layer.eps, momentum=layer.momentum, affine=layer.affine,
                       track_running_stats=layer.track_running_stats, dtype=torch.float32).train(layer.training)
    twin.load_state_dict(layer.state_dict())
    before = {key: tensor.clone() for key, tensor in twin.state_dict().items()}
    layer.load_state_dict(before)
    exact = run(layer, tensors, channels_last, activation, alpha)
    if name != "2d_train_mean_1e4" and before:
        check(name, run(twin, tensors, channels_last, activation, alpha), exact)

    if not layer.training and layer.track_running_stats:
        # Inference leaves them alone.
        assert torch.equal(exact["running_mean"].float(), before["running_mean"])
    metadata = {
        "mode": "training" if layer.training else "inference",
        "epsilon": repr(layer.eps),
        "axis": "-1" if channels_last else "1",
        "activation": activation,
        "source": f"PyTorch {VERSIONS['torch']}, {type(layer).__name__}, float64 on a CPU"
        + (f", from {HALVES[dtype]} values" if dtype in HALVES else ""),
    }
    if layer.track_running_stats:
        metadata["momentum"] = "cumulative" if layer.momentum is None else repr(layer.momentum)
    if alpha is not None:
        metadata["activation_alpha"] = repr(alpha)
    tensors |= before | {f"expected.{key}": tensor for key, tensor in exact.items()}
    # Where a tensor has fewer values than sizes, strides are anything.
    tensors = {key: tensor.detach().contiguous() for key, tensor in tensors.items()}
    path = FOLDER / f"{name}.safetensors"
    assert not path.exists(), f"two cases are called {name}"
    path.write_bytes(in_order(safetensors.torch.save(tensors, metadata=metadata)))
    print(f"{name}: {list(sizes)}, {path.stat().st_size} bytes")


FOLDER.mkdir(exist_ok=True)
for old in FOLDER.glob("*.safetensors"):
    old.unlink()
random.manual_seed(2015)

# Every kind of layer, in every way to have or not to have parameters and running statistics.
KINDS = [
    ("1d_rows", BatchNorm1d, (9, 5)),
    ("1d", BatchNorm1d, (4, 3, 7)),
    ("2d", BatchNorm2d, (3, 3, 5, 3)),
    ("3d", BatchNorm3d, (2, 3, 2, 3, 3)),
]
for kind, make, sizes in KINDS:
    channels = sizes[1]
    case(f"{kind}_train", new_layer(make, channels), sizes)
    case(f"{kind}_eval", new_layer(make, channels, epsilon=1e-3).eval(), sizes)
    case(f"{kind}_train_plain", new_layer(make, channels, affine=False), sizes)
    case(f"{kind}_eval_plain", new_layer(make, channels, affine=False).eval(), sizes)
    case(f"{kind}_train_untracked", new_layer(make, channels, running=False), sizes)
    case(f"{kind}_eval_untracked", new_layer(make, channels, running=False).eval(), sizes)
    case(f"{kind}_train_cumulative", new_layer(make, channels, momentum=None), sizes)
case("2d_train_bare", new_layer(BatchNorm2d, 3, affine=False, running=False), (2, 3, 5, 3))
case("2d_eval_one_value", new_layer(BatchNorm2d, 6).eval(), (1, 6, 1, 1))
case("2d_train_mean_1e4", new_layer(BatchNorm2d, 3, epsilon=1e-3), (2, 3, 5, 4), mean=1e4)

# Steps one after another, each from the state that the one before left.
for name, momentum in [("exponential", 0.25), ("cumulative", None)]:
    layer = new_layer(BatchNorm2d, 3, momentum=momentum)
    if momentum is None:
        layer.reset_running_stats()
    for step in range(1, 4):
        case(f"2d_steps_{name}_{step}", layer, (4, 3, 3, 3), mean=2.0 * step, deviation=float(step))

# Channels in the last place.
for kind, make, sizes in [("1d", BatchNorm1d, (4, 7, 3)), ("2d", BatchNorm2d, (2, 5, 3, 4)), ("3d", BatchNorm3d, (2, 3, 2, 3, 3))]:
    case(f"{kind}_last_train", new_layer(make, sizes[-1]), sizes, channels_last=True)
    case(f"{kind}_last_eval", new_layer(make, sizes[-1]).eval(), sizes, channels_last=True)

# Activations. The deviation of the residual and gamma take values past ReLU6's second corner.
for activation in list(ACTIVATIONS)[1:]:
    alpha = 0.125 if activation == "leaky_relu" else None
    for residual in [False, True]:
        suffix = f"{activation}_residual" if residual else activation
        layer = new_layer(BatchNorm2d, 3)
        with torch.no_grad():
            layer.weight *= 4 if activation == "relu6" else 1
        options = {"activation": activation, "alpha": alpha, "residual": residual}
        case(f"2d_train_{suffix}", layer, (2, 3, 4, 3), **options)
        case(f"2d_eval_{suffix}", layer.eval(), (2, 3, 4, 3), **options)
case("2d_train_none_residual", new_layer(BatchNorm2d, 3), (2, 3, 4, 3), residual=True)
case("2d_last_train_relu_residual", new_layer(BatchNorm2d, 4), (2, 3, 4, 4), channels_last=True, activation="relu",
     residual=True)
case("2d_last_eval_silu_residual", new_layer(BatchNorm2d, 4).eval(), (2, 3, 4, 4), channels_last=True, activation="silu",
     residual=True)
case("2d_train_leaky_relu_default", new_layer(BatchNorm2d, 3), (2, 3, 4, 3), activation="leaky_relu", alpha=0.01)
case("2d_train_leaky_relu_negative", new_layer(BatchNorm2d, 3), (2, 3, 4, 3), activation="leaky_relu", alpha=-0.5)

# Halves, with odd inner sizes and an odd number of values: words straddle channels, and the last is half empty.
for dtype, half in HALVES.items():
    sizes = (3, 3, 5, 3)
    case(f"2d_train_{half}", new_layer(BatchNorm2d, 3), sizes, dtype=dtype)
    case(f"2d_eval_{half}", new_layer(BatchNorm2d, 3).eval(), sizes, dtype=dtype)
    case(f"2d_last_train_{half}", new_layer(BatchNorm2d, 3), sizes, dtype=dtype, channels_last=True)
    for activation in ["relu", "silu"]:
        case(f"2d_train_{activation}_residual_{half}", new_layer(BatchNorm2d, 3), sizes, dtype=dtype,
             activation=activation, residual=True)
    case(f"1d_rows_train_{half}", new_layer(BatchNorm1d, 5), (9, 5), dtype=dtype)
