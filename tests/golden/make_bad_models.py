#!/usr/bin/env python3
"""Writes bad/model: safetensors and config files, each named by its one defect, and expected.json,
the text that the message must hold.

    make_bad_models.py tests/golden/bad/model
"""
import json
import os
import sys

GOOD = {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "b": {"dtype": "BF16", "shape": [4], "data_offsets": [16, 24]}}
CONFIG = {"architectures": ["BertForMaskedLM"], "model_type": "bert", "vocab_size": 100,
          "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
          "intermediate_size": 64, "max_position_embeddings": 64, "hidden_act": "gelu"}


def pack(header, data=bytes(24), length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def with_b(**change):
    return {**GOOD, "b": {**GOOD["b"], **change}}


def without_b(key):
    return {**GOOD, "b": {k: v for k, v in GOOD["b"].items() if k != key}}


TENSORS = {
    "empty": (b"", "is empty"),
    "seven-bytes": (b"\x02\0\0\0\0\0\0", "too few"),
    "header-over-limit": (pack(GOOD, length=1 << 40), "over the limit"),
    "header-length-all-ones": (b"\xff" * 16, "over the limit"),
    "header-longer-than-file": (pack(GOOD, length=100000), "the header needs 100000 bytes"),
    "header-empty": (pack(b""), "does not begin with '{'"),
    "header-leading-space": (pack(b" {}", b""), "does not begin with '{'"),
    "header-not-json": (pack(b"{\"a\": }"), "header: "),
    "header-cut": (pack(json.dumps(GOOD).encode()[:-4]), "header: "),
    "header-not-utf8": (pack(b'{"\xff\xfe": {}}'), "header: "),
    "header-trailing-text": (pack(b"{} x", b""), "header: "),
    "header-duplicate-name": (pack(b'{"a": {}, "a": {}}'), "duplicate"),
    "metadata-not-text": (pack({"__metadata__": {"format": 1}, **GOOD}), "__metadata__"),
    "tensor-not-object": (pack({**GOOD, "b": 3}), "tensor b is not an object"),
    "dtype-missing": (pack(without_b("dtype")), "tensor b has no dtype"),
    "dtype-unknown": (pack(with_b(dtype="F128")), "unknown dtype \"F128\""),
    "shape-missing": (pack(without_b("shape")), "tensor b: shape"),
    "shape-negative": (pack(with_b(shape=[-4])), "tensor b: shape"),
    "shape-fraction": (pack(with_b(shape=[4.0])), "tensor b: shape"),
    "shape-rank-9": (pack(with_b(shape=[1] * 8 + [4])), "tensor b: shape"),
    "shape-overflow": (pack(with_b(shape=[1 << 40, 1 << 40])), "overflows"),
    "shape-overflow-in-bytes": (pack(with_b(shape=[(1 << 63) - 1, 2])), "overflows"),
    "shape-wrong-size": (pack(with_b(shape=[5])), "range has 8 bytes, its shape needs 10"),
    "offsets-missing": (pack(without_b("data_offsets")), "data_offsets"),
    "offsets-three": (pack(with_b(data_offsets=[16, 24, 32])), "data_offsets"),
    "offsets-negative": (pack(with_b(data_offsets=[-8, 0])), "data_offsets"),
    "offsets-reversed": (pack(with_b(data_offsets=[24, 16])), "outside"),
    "offsets-huge": (pack(with_b(data_offsets=[1 << 62, (1 << 62) + 8])), "outside"),
    "ranges-overlap": (pack(with_b(data_offsets=[8, 16]), bytes(16)), "overlaps"),
    "ranges-hole": (pack(with_b(data_offsets=[20, 28]), bytes(28)), "after a hole"),
    "data-truncated": (pack(GOOD, bytes(23)), "truncated"),
    "data-left-over": (pack(GOOD, bytes(25)), "belong to no tensor"),
}


def config(**change):
    return {k: v for k, v in {**CONFIG, **change}.items() if v != "ABSENT"}


CONFIGS = {
    "empty": (b"", "config"),
    "not-json": (b"{\"model_type\": \"bert\",\n}", ":2: "),
    "not-object": (b"[1, 2]", "not a JSON object"),
    "duplicate-key": (b'{"model_type": "bert", "model_type": "bert"}', "duplicate"),
    "model-type-missing": (config(model_type="ABSENT"), "model_type is missing"),
    "model-type-roberta": (config(model_type="roberta"), "model_type is \"roberta\""),
    "architectures-missing": (config(architectures="ABSENT"), "architectures is missing"),
    "architectures-bare-encoder": (config(architectures=["BertModel"]), "BertModel"),
    "architectures-token-classification":
        (config(architectures=["BertForTokenClassification"]), "BertForTokenClassification"),
    "act-gelu-fast": (config(hidden_act="gelu_fast"), "hidden_act is \"gelu_fast\""),
    "act-number": (config(hidden_act=1), "hidden_act is 1"),
    "classifier-act-mish": (config(classifier_act="mish"), "classifier_act is \"mish\""),
    "position-relative": (config(position_embedding_type="relative_key"),
                          "position_embedding_type is \"relative_key\""),
    "decoder": (config(is_decoder=True), "is_decoder is true"),
    "encoder-decoder": (config(is_encoder_decoder=True), "is_encoder_decoder is true"),
    "cross-attention": (config(add_cross_attention=True), "add_cross_attention is true"),
    "quantized": (config(quantization_config={"bits": 4}), "quantization_config is {\"bits\":4}"),
    "pruned-heads": (config(pruned_heads={"0": [1]}), "pruned_heads is"),
    "own-code": (config(auto_map={"AutoModel": "x.Y"}), "auto_map is"),
    "lookahead-text": (config(lookahead="causal"), "lookahead is \"causal\": an object is needed"),
    "lookahead-no-policy": (config(lookahead={"max": 4}), "lookahead.policy is missing"),
    "lookahead-max-33": (config(lookahead={"policy": "dynamic", "max": 33}),
                         "lookahead.max is 33"),
    "lookahead-layers-three": (config(lookahead={"policy": "dynamic", "max": 4,
                                                 "layers": [1, 2, 4]}),
                               "lookahead.layers is [1,2,4]: a list of 2 numbers"),
    "lookahead-unknown-key": (config(lookahead={"policy": "causal", "look": 1}),
                              "lookahead.look is 1: the keys are policy, max"),
    "heads-do-not-divide": (config(num_attention_heads=5), "no multiple of the 5 heads"),
    "head-dim-other": (config(head_dim=8), "head_dim is 8"),
    "embedding-size-other": (config(embedding_size=16), "embedding_size is 16"),
    "layers-zero": (config(num_hidden_layers=0), "num_hidden_layers is 0"),
    "layers-too-many": (config(num_hidden_layers=513), "num_hidden_layers is 513"),
    "hidden-too-large": (config(hidden_size=65538), "hidden_size is 65538"),
    "vocab-too-large": (config(vocab_size=(1 << 24) + 1), "vocab_size is 16777217"),
    "positions-too-many": (config(max_position_embeddings=(1 << 20) + 1),
                           "max_position_embeddings is 1048577"),
    "hidden-negative": (config(hidden_size=-32), "hidden_size is -32"),
    "hidden-text": (config(hidden_size="32"), "hidden_size is \"32\""),
    "hidden-fraction": (config(hidden_size=32.0), "hidden_size is 32.0"),
    "eps-zero": (config(layer_norm_eps=0), "layer_norm_eps is 0"),
    "eps-vanishes-in-float": (config(layer_norm_eps=1e-60), "layer_norm_eps is"),
    "eps-text": (config(layer_norm_eps="1e-12"), "layer_norm_eps is"),
    "score-kind": (config(score_kind="loss"), "score_kind is \"loss\""),
    "tie-text": (config(tie_word_embeddings="yes"), "tie_word_embeddings is \"yes\""),
}


def main(directory):
    os.makedirs(directory, exist_ok=True)
    expected = {}
    for cases, ending in ((TENSORS, ".safetensors"), (CONFIGS, ".config.json")):
        for name, (content, message) in cases.items():
            if not isinstance(content, bytes):
                content = (json.dumps(content, indent=1) + "\n").encode()
            with open(os.path.join(directory, name + ending), "wb") as out:
                out.write(content)
            expected[name + ending] = message
    with open(os.path.join(directory, "expected.json"), "w", encoding="utf-8") as out:
        json.dump(expected, out, indent=1)
        out.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
