"""PyTorch on the CPU at its best: exact-length batches without a mask, its own fused attention,
one QKV product, the head at the masked row only.
usage: torch_peer.py MODEL SHAPE fp32|bf16 eager|compiled THREADS"""

import sys

import torch
import torch.nn.functional as F

import shapes
import worker


class Encoder(torch.nn.Module):
    def __init__(self, weights, shape, dtype):
        super().__init__()
        self.layers, self.heads = shape["layers"], shape["heads"]
        for name, array in weights.items():
            self.add(name, torch.from_numpy(array).to(dtype))
        for i in range(self.layers):
            at = f"bert.encoder.layer.{i}.attention.self."
            parts = [at + p for p in ("query", "key", "value")]
            for kind in ("weight", "bias"):
                joined = torch.cat([torch.from_numpy(weights[f"{p}.{kind}"]) for p in parts])
                self.add(f"qkv.{i}.{kind}", joined.to(dtype))

    @staticmethod
    def key(name):
        return name.replace(".", "_")

    def add(self, name, tensor):
        self.register_parameter(self.key(name), torch.nn.Parameter(tensor, requires_grad=False))

    def get(self, name):
        return getattr(self, self.key(name))

    def linear(self, x, name):
        return F.linear(x, self.get(name + ".weight"), self.get(name + ".bias"))

    def norm(self, x, name):
        weight = self.get(name + ".weight")
        return F.layer_norm(x, weight.shape, weight, self.get(name + ".bias"), 1e-12)

    def attention(self, x, i):
        batch, length, d = x.shape
        qkv = self.linear(x, f"qkv.{i}").view(batch, length, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        context = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, length, d)
        return self.linear(context, f"bert.encoder.layer.{i}.attention.output.dense")

    def forward(self, ids, row, target):
        e = "bert.embeddings."
        x = F.embedding(ids, self.get(e + "word_embeddings.weight"))
        x = x + self.get(e + "position_embeddings.weight")[: ids.shape[1]]
        x = self.norm(x + self.get(e + "token_type_embeddings.weight")[0], e + "LayerNorm")
        for i in range(self.layers):
            at = f"bert.encoder.layer.{i}."
            x = self.norm(x + self.attention(x, i), at + "attention.output.LayerNorm")
            wide = F.gelu(self.linear(x, at + "intermediate.dense"))
            x = self.norm(x + self.linear(wide, at + "output.dense"), at + "output.LayerNorm")
        x = x[torch.arange(ids.shape[0]), row]
        x = self.norm(F.gelu(self.linear(x, "cls.predictions.transform.dense")),
                      "cls.predictions.transform.LayerNorm")
        decoder = self.get(e + "word_embeddings.weight")
        logits = F.linear(x, decoder, self.get("cls.predictions.bias")).float()
        return logits.gather(1, target[:, None])[:, 0] - torch.logsumexp(logits, 1)


def main():
    folder, name, kind, mode, threads = sys.argv[1:6]
    torch.set_num_threads(int(threads))
    shape = shapes.SHAPES[name]
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[kind]
    model = Encoder(shapes.load_weights(folder), shape, dtype).eval()
    call = model
    if mode == "compiled":
        import torch._inductor.config as inductor
        inductor.freezing = True
        call = torch.compile(model, dynamic=False)

    def run(ids, row, target):
        with torch.inference_mode() if mode == "eager" else torch.no_grad():
            return call(*map(torch.from_numpy, (ids, row, target)))

    worker.serve(shape, run)


if __name__ == "__main__":
    main()
