"""ONNX Runtime as a peer, on the processor (`cpu`) or through WebGPU (`default` or `nchw`, its preferred layout)."""

import os
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

import protocol

VECTORS = ("gamma", "beta", "mean", "variance")


def model(work):
    """One node: the operation. Training takes the running statistics as inputs and gives them back moved."""
    shape = work.shape
    tensor = lambda name, sizes: helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)
    inputs, outputs = [tensor("x", shape)], [tensor("y", shape)]
    if work.operation == "double":
        node = helper.make_node("Mul", ["x", "two"], ["y"])
        weights = [numpy_helper.from_array(np.float32(2), "two")]
    else:
        training = work.operation == "training"
        names = ["y", "running_mean", "running_variance"] if training else ["y"]
        outputs += [tensor(name, [shape[1]]) for name in names[1:]]
        # ONNX calls the share of the old value momentum.
        node = helper.make_node(
            "BatchNormalization",
            ["x", *VECTORS],
            names,
            epsilon=protocol.EPSILON,
            momentum=1 - protocol.MOMENTUM,
            training_mode=int(training),
        )
        weights = [numpy_helper.from_array(work.input(name), name) for name in VECTORS]
    graph = helper.make_graph([node], "peer", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8).SerializeToString()


class Session:
    def __init__(self, peer, work):
        if work.operation == "step":
            raise NotImplementedError("ONNX Runtime has no gradient of BatchNormalization in this package")
        if work.layout == "channels-last" and len(work.shape) > 2:
            raise NotImplementedError("ONNX's BatchNormalization is channels-first")
        self.peer = peer
        self.session = peer.session(model(work))
        self.names = [output.name for output in self.session.get_outputs()]
        self.x = peer.tensor(work.input("x"))
        self.binding = self.session.io_binding()
        self.binding.bind_ortvalue_input("x", self.x)
        for name in self.names:
            self.binding.bind_output(name, peer.device)
        self.session.run_with_iobinding(self.binding)
        # From here on outputs go where the first ones went.
        self.outputs = self.binding.get_outputs()
        for name, output in zip(self.names, self.outputs):
            self.binding.bind_ortvalue_output(name, output)

    def repeat(self, repeats):
        for _ in range(repeats):
            self.session.run_with_iobinding(self.binding)
        self.peer.wait()

    def results(self):
        self.repeat(1)
        names = {"running_mean": "mean", "running_variance": "variance"}
        return {names.get(name, name): output.numpy() for name, output in zip(self.names, self.outputs)}


class Peer:
    def __init__(self, variant):
        self.options = ort.SessionOptions()
        self.options.log_severity_level = 3
        self.options.intra_op_num_threads = int(os.environ.get("PEER_THREADS", os.cpu_count()))
        self.device = "cpu" if variant == "cpu" else "webgpu"
        if variant == "cpu":
            self.providers = ["CPUExecutionProvider"]
            return
        self.providers = ["WebGpuExecutionProvider"]
        # A node that the provider does not have is an error, not the processor's.
        self.options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        if variant == "nchw":
            # As a provider option of Python it is ignored.
            self.options.add_session_config_entry("ep.webgpuexecutionprovider.preferredLayout", "NCHW")
        self.small = np.zeros([4], np.float32)
        self.marker = self.minus_zero(self.small)

    def session(self, text):
        return ort.InferenceSession(text, self.options, providers=self.providers)

    def minus_zero(self, values):
        """A session that leaves values of this shape as they are, on the device, and no identity that is optimized away."""
        info = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, values.shape)
        zero = numpy_helper.from_array(np.float32(0), "zero")
        node = helper.make_node("Sub", ["x", "zero"], ["y"])
        graph = helper.make_graph([node], "upload", [info("x")], [info("y")], [zero])
        text = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8).SerializeToString()
        return self.session(text)

    def tensor(self, values):
        if self.device == "cpu":
            return ort.OrtValue.ortvalue_from_numpy(values)
        # No call makes a tensor on this device: the output of a session is one.
        session = self.minus_zero(values)
        binding = session.io_binding()
        binding.bind_cpu_input("x", values)
        binding.bind_output("y", self.device)
        session.run_with_iobinding(binding)
        return binding.get_outputs()[0]

    def wait(self):
        """A run returns before the device is done. All sessions share one queue, so what is read after it waits for it."""
        if self.device != "cpu":
            self.marker.run(None, {"x": self.small})

    def about(self):
        return {"versions": {"onnxruntime": ort.__version__, "onnx": onnx.__version__}}

    def prepare(self, work):
        return Session(self, work)


if __name__ == "__main__":
    protocol.serve(Peer(sys.argv[1]))
