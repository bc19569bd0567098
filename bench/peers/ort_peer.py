"""ONNX Runtime on the CPU at its best: one graph of its fused operators (EmbedLayerNormalization,
Attention, SkipLayerNormalization, BiasGelu), equal-length batches without padding, and the head at
the masked row only.  usage: ort_peer.py MODEL SHAPE fp32|int8 THREADS"""

import os
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

import shapes
import worker

FUSED = "com.microsoft"
EPSILON = 1e-12


class Graph:
    """Collects nodes and initialisers; weights are turned to (in, out) as MatMul wants them."""

    def __init__(self, weights):
        self.weights, self.nodes, self.initializers = weights, [], []

    def constant(self, name, array):
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, op, inputs, output, domain="", **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], domain=domain, **attributes))
        return output

    def vector(self, name):
        return self.constant(name, self.weights[name])

    def matmul(self, x, layer, output):
        weight = self.constant(layer + ".kernel", self.weights[layer + ".weight"].T)
        return self.node("MatMul", [x, weight], output)

    def norm(self, layer):
        return [self.vector(layer + ".weight"), self.vector(layer + ".bias")]


def embeddings(g):
    tables = [g.vector(f"bert.embeddings.{t}_embeddings.weight")
              for t in ("word", "position", "token_type")]
    g.nodes.append(helper.make_node(
        "EmbedLayerNormalization",
        ["ids", "types", *tables, *g.norm("bert.embeddings.LayerNorm")], ["x0", "mask_index"],
        domain=FUSED, epsilon=EPSILON))
    return "x0"


def encoder_layer(g, i, x, heads):
    at, w = f"bert.encoder.layer.{i}.", g.weights
    parts = [at + "attention.self." + p for p in ("query", "key", "value")]
    kernel = g.constant(at + "qkv", np.concatenate([w[p + ".weight"].T for p in parts], axis=1))
    bias = g.constant(at + "qkv.bias", np.concatenate([w[p + ".bias"] for p in parts]))
    context = g.node("Attention", [x, kernel, bias], at + "context", FUSED, num_heads=heads)
    out = g.matmul(context, at + "attention.output.dense", at + "projected")
    y = g.node("SkipLayerNormalization",
               [out, x, *g.norm(at + "attention.output.LayerNorm"),
                g.vector(at + "attention.output.dense.bias")], at + "y", FUSED, epsilon=EPSILON)
    wide = g.matmul(y, at + "intermediate.dense", at + "wide")
    wide = g.node("BiasGelu", [wide, g.vector(at + "intermediate.dense.bias")], at + "gelu", FUSED)
    out = g.matmul(wide, at + "output.dense", at + "narrow")
    return g.node("SkipLayerNormalization",
                  [out, y, *g.norm(at + "output.LayerNorm"), g.vector(at + "output.dense.bias")],
                  at + "z", FUSED, epsilon=EPSILON)


def head(g, x, hidden):
    rows = g.node("Reshape", [x, g.constant("flat", np.array([-1, hidden], np.int64))], "rows")
    masked = g.node("Gather", [rows, "at"], "masked", axis=0)
    t = g.matmul(masked, "cls.predictions.transform.dense", "transform")
    t = g.node("BiasGelu", [t, g.vector("cls.predictions.transform.dense.bias")], "t_gelu", FUSED)
    t = g.node("LayerNormalization", [t, *g.norm("cls.predictions.transform.LayerNorm")], "t_norm",
               epsilon=EPSILON)
    decoder = g.constant("decoder", g.weights["bert.embeddings.word_embeddings.weight"].T)
    logits = g.node("MatMul", [t, decoder], "product")
    logits = g.node("Add", [logits, g.vector("cls.predictions.bias")], "logits")
    logp = g.node("LogSoftmax", [logits], "logp_all", axis=-1)
    g.node("GatherElements", [logp, "target"], "logp", axis=1)


def build(weights, shape):
    g = Graph(weights)
    x = embeddings(g)
    for i in range(shape["layers"]):
        x = encoder_layer(g, i, x, shape["heads"])
    head(g, x, shape["hidden"])
    info = helper.make_tensor_value_info
    inputs = [info("ids", TensorProto.INT32, ["B", "L"]),
              info("types", TensorProto.INT32, ["B", "L"]),
              info("at", TensorProto.INT64, ["B"]), info("target", TensorProto.INT64, ["B", 1])]
    graph = helper.make_graph(g.nodes, "mlm", inputs,
                              [info("logp", TensorProto.FLOAT, ["B", 1])], g.initializers)
    return helper.make_model(graph, ir_version=8, opset_imports=[
        helper.make_opsetid("", 17), helper.make_opsetid(FUSED, 1)])


def make_once(path, write):
    """Another worker may make the same file at the same time: it appears complete or not at all."""
    if not path.exists():
        own = path.with_name(f"{os.getpid()}-{path.name}")
        write(own)
        own.replace(path)


def main():
    folder, name, kind, threads = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    shape = shapes.SHAPES[name]
    path = pathlib.Path(folder) / "fp32.onnx"
    make_once(path, lambda to: onnx.save(build(shapes.load_weights(folder), shape), to))
    if kind == "int8":
        path, source = pathlib.Path(folder) / "int8.onnx", path
        make_once(path, lambda to: quantize_dynamic(
            source, to, op_types_to_quantize=["MatMul", "Attention"], weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": TensorProto.FLOAT}))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(ids, row, target):
        at = row + np.arange(len(row)) * ids.shape[1]
        feed = {"ids": ids.astype(np.int32), "types": np.zeros(ids.shape, np.int32), "at": at,
                "target": target[:, None]}
        return session.run(["logp"], feed)[0][:, 0]

    worker.serve(shape, run)


if __name__ == "__main__":
    main()
