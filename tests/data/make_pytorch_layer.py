"""Makes pytorch_layer.safetensors, the file of a PyTorch model that tests/layer.rs loads.

    pip install torch safetensors numpy && python tests/data/make_pytorch_layer.py

Made with PyTorch 2.15.0 on a CPU. The file holds

- `model.`: the state_dict of a small model: a convolution, which nobody here reads, a batch norm layer
  (`model.stem.1.`), one without gamma and beta (`model.plain.`) and one without running statistics
  (`model.frozen.`), with parameters that f32 represents exactly;
- `x.0`, `x.1`, `x.2`: the batches [4, 5, 3, 3] of three training steps;
- `exponential.` and `cumulative.`: the state of a copy of `model.stem.1` after those steps, with the default momentum of
  0.1 and with the cumulative average (`momentum=None`).
"""

import copy
import pathlib

import safetensors.torch
import torch

torch.manual_seed(1)
torch.use_deterministic_algorithms(True)

model = torch.nn.ModuleDict(
    {
        "stem": torch.nn.Sequential(torch.nn.Conv2d(1, 5, 2), torch.nn.BatchNorm2d(5)),
        "plain": torch.nn.BatchNorm1d(3, affine=False),
        "frozen": torch.nn.BatchNorm1d(3, track_running_stats=False),
    }
)
stem = model["stem"][1]
channel = torch.arange(5.0)
with torch.no_grad():
    stem.weight.copy_(1 + channel / 8)
    stem.bias.copy_(channel / 4 - 1)
    stem.running_mean.copy_(channel - 2)
    stem.running_var.copy_(0.5 + channel)
    stem.num_batches_tracked.fill_(7)
    model["frozen"].weight.copy_(torch.tensor([2.0, 3.0, 4.0]))

tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
batches = [10 * step + (1 + step) * torch.randn(4, 5, 3, 3) for step in range(3)]
tensors |= {f"x.{step}": batch for step, batch in enumerate(batches)}
for name, momentum in [("exponential", 0.1), ("cumulative", None)]:
    layer = copy.deepcopy(stem).train()
    layer.momentum = momentum
    for batch in batches:
        layer(batch)
    tensors |= {f"{name}.{key}": value for key, value in layer.state_dict().items()}

path = pathlib.Path(__file__).with_name("pytorch_layer.safetensors")
tensors = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})
for name, tensor in tensors.items():
    print(name, tensor.dtype, list(tensor.shape))
