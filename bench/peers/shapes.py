"""The shapes that all peers are measured on, their random weights, and the real length mix."""

import json
import pathlib

import numpy as np
import safetensors.numpy
import tokenizers

SHAPES = {
    "base": dict(layers=12, hidden=768, heads=12, ffn=3072, vocab=30522, positions=512),
    "small": dict(layers=4, hidden=256, heads=4, ffn=1024, vocab=8192, positions=192),
}


def tensors(shape, seed=1):
    """Random weights under their Hugging Face names, (out, in) as stored there."""
    rng = np.random.default_rng(seed)
    d, ffn = shape["hidden"], shape["ffn"]
    out = {}

    def normal(name, *dims):
        out[name] = rng.standard_normal(dims, dtype=np.float32) * np.float32(0.02)

    def dense(name, rows, cols):
        normal(name + ".weight", rows, cols)
        normal(name + ".bias", rows)

    def norm(name):
        out[name + ".weight"] = np.ones(d, np.float32)
        out[name + ".bias"] = np.zeros(d, np.float32)

    normal("bert.embeddings.word_embeddings.weight", shape["vocab"], d)
    normal("bert.embeddings.position_embeddings.weight", shape["positions"], d)
    normal("bert.embeddings.token_type_embeddings.weight", 2, d)
    norm("bert.embeddings.LayerNorm")
    for i in range(shape["layers"]):
        at = f"bert.encoder.layer.{i}."
        for part in ("query", "key", "value"):
            dense(at + "attention.self." + part, d, d)
        dense(at + "attention.output.dense", d, d)
        norm(at + "attention.output.LayerNorm")
        dense(at + "intermediate.dense", ffn, d)
        dense(at + "output.dense", d, ffn)
        norm(at + "output.LayerNorm")
    dense("cls.predictions.transform.dense", d, d)
    norm("cls.predictions.transform.LayerNorm")
    normal("cls.predictions.bias", shape["vocab"])
    return out


def write_model(folder, shape, vocab_file, seed=1):
    """A model directory as Hugging Face lays it out. The vocabulary is that of the embedded model,
    filled up, so that real text has the same lengths under every shape."""
    folder.mkdir(parents=True, exist_ok=True)
    words = vocab_file.read_text(encoding="utf-8").splitlines()
    words += [f"[filler{i}]" for i in range(len(words), shape["vocab"])]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    config = dict(
        architectures=["BertForMaskedLM"], model_type="bert", vocab_size=shape["vocab"],
        hidden_size=shape["hidden"], num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"], intermediate_size=shape["ffn"], hidden_act="gelu",
        max_position_embeddings=shape["positions"], type_vocab_size=2, layer_norm_eps=1e-12,
        pad_token_id=0, position_embedding_type="absolute", tie_word_embeddings=True,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}\n')
    safetensors.numpy.save_file(tensors(shape, seed), folder / "model.safetensors")


def load_weights(folder):
    return safetensors.numpy.load_file(pathlib.Path(folder) / "model.safetensors")


def write_sample(archive, path, every=25):
    """Utterances taken evenly from the archive sorted by length: the real mix of lengths, few
    enough that scoring them takes seconds."""
    import zstandard  # bench/gpu uses the rest of this file where it is missing

    raw = zstandard.ZstdDecompressor().stream_reader(open(archive, "rb")).read()
    lists = sorted(map(json.loads, raw.splitlines()), key=lambda u: len(u["hyps"][0]["text"]))
    with open(path, "w", encoding="utf-8") as out:
        for utterance in lists[every // 2::every]:
            out.write(json.dumps(utterance) + "\n")


def length_mix(sample, vocab_file, parts=8):
    """Masked copies of the sample cut into `parts` equal groups by length: [(mean length, share)].
    A hypothesis of n tokens stands for n copies of n + 2."""
    wordpiece = tokenizers.BertWordPieceTokenizer(str(vocab_file), lowercase=True)
    counts = []
    for line in open(sample, encoding="utf-8"):
        texts = [hyp["text"] for hyp in json.loads(line)["hyps"]]
        counts += [len(e.ids) for e in wordpiece.encode_batch(texts, add_special_tokens=False)]
    lengths = np.sort(np.repeat(np.array(counts) + 2, counts))
    groups = np.array_split(lengths, parts)
    return [(int(round(float(g.mean()))), len(g) / len(lengths)) for g in groups]


def copies(shape, length, batch, seed=7):
    """`batch` masked copies of equal length: ids, row of the mask, the token that stood there."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(5, 8000, size=(batch, length), dtype=np.int64)
    ids[:, 0], ids[:, -1] = 2, 3
    row = rng.integers(1, length - 1, size=batch, dtype=np.int64)
    target = ids[np.arange(batch), row].copy()
    ids[np.arange(batch), row] = 4
    return ids, row, target
