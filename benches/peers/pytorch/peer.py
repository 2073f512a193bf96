"""PyTorch's batch norm on the processor: `nchw` or `nhwc` (memory format channels_last)."""

import os
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))
import protocol

LAYERS = {2: torch.nn.BatchNorm1d, 3: torch.nn.BatchNorm1d, 4: torch.nn.BatchNorm2d, 5: torch.nn.BatchNorm3d}


class Layer:
    def __init__(self, work):
        self.operation = work.operation
        self.last = work.layout == "channels-last" and len(work.shape) > 2

        # A permuted view of channels-last values is PyTorch's channels_last memory format.
        def tensor(name):
            values = torch.from_numpy(work.input(name))
            return values.movedim(-1, 1) if self.last else values

        vectors = {name: torch.from_numpy(work.input(name)) for name in ("gamma", "beta", "mean", "variance")}
        layer = LAYERS[len(work.shape)](len(vectors["gamma"]), eps=protocol.EPSILON, momentum=protocol.MOMENTUM)
        with torch.no_grad():
            layer.weight.copy_(vectors["gamma"])
            layer.bias.copy_(vectors["beta"])
            layer.running_mean.copy_(vectors["mean"])
            layer.running_var.copy_(vectors["variance"])
        self.layer = layer.train(work.operation in ("training", "step"))
        self.x = tensor("x")
        if work.operation == "step":
            self.x.requires_grad_()
            self.dy = tensor("dy")

    def run(self):
        match self.operation:
            case "double":
                return self.x * 2
            case "inference":
                with torch.inference_mode():
                    return self.layer(self.x)
            case "training":
                return self.layer(self.x)
            case "step":
                self.x.grad = self.layer.weight.grad = self.layer.bias.grad = None
                y = self.layer(self.x)
                y.backward(self.dy)
                return y

    def repeat(self, repeats):
        for _ in range(repeats):
            self.run()

    def results(self):
        def array(tensor):
            tensor = tensor.detach()
            return (tensor.movedim(1, -1) if self.last and tensor.dim() > 1 else tensor).numpy()

        results = {"y": array(self.run())}
        if self.operation == "step":
            results |= {
                "dx": array(self.x.grad),
                "dgamma": array(self.layer.weight.grad),
                "dbeta": array(self.layer.bias.grad),
            }
        if self.operation in ("training", "step"):
            results |= {"mean": array(self.layer.running_mean), "variance": array(self.layer.running_var)}
        return results


class Peer:
    def about(self):
        return {"versions": {"torch": torch.__version__}, "threads": torch.get_num_threads()}

    def prepare(self, work):
        return Layer(work)


torch.set_num_threads(int(os.environ.get("PEER_THREADS", os.cpu_count())))
protocol.serve(Peer())
