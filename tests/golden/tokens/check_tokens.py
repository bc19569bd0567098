#!/usr/bin/env python3
"""Compares encode_tool with the oracle, live. Needs the pinned oracle and zstandard.

Usage: check_tokens.py --tool PATH [--model DIR] [--shared DIR] [--quick]

--tool    the built encode_tool
--model   a WordPiece model directory, uncased (default: bench/data/model)
--shared  a folder with data/nbest/*.json.zst and data/text/*.txt.zst; without it the sample archive
          in bench/data is read
--quick   leaves out the comparison of every code point

Texts: N-best lists, 20,000 sentences, every code point alone and inside a word, random texts,
adversarial lines, invalid UTF-8, added tokens with every flag. Prints one line a comparison; exits
1 on the first difference.
"""
import argparse
import glob
import io
import json
import os
import struct
import subprocess
import sys
import tempfile

import zstandard
from tokenizers import AddedToken

import oracle

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))


def open_zst(path):
    raw = zstandard.ZstdDecompressor().stream_reader(open(path, "rb"), read_across_frames=True)
    return io.TextIOWrapper(raw, encoding="utf-8", newline="\n")


def nbest_texts(shared):
    """(name, texts) of each archive that is there."""
    files = sorted(glob.glob(os.path.join(shared, "data/nbest/*.json.zst"))) if shared else []
    for path in files:
        lists = json.load(open_zst(path))
        texts = [h["text"] for u in lists.values() for k, h in u.items() if k.startswith("hyp_")]
        yield os.path.basename(path), texts + [u["ref"] for u in lists.values() if "ref" in u]
    if not files:
        for path in sorted(glob.glob(os.path.join(ROOT, "bench/data/*.jsonl.zst"))):
            utts = [json.loads(line) for line in open_zst(path)]
            yield os.path.basename(path), [h["text"] for u in utts for h in u["hyps"]]


def sentences(shared, count=20000):
    """Every 200th line of the shared sentences, so that many books are among them."""
    for path in sorted(glob.glob(os.path.join(shared, "data/text/*.txt.zst"))) if shared else []:
        texts = []
        for i, line in enumerate(open_zst(path)):
            if i % 200 == 0:
                texts.append(line.rstrip("\n"))
            if len(texts) == count:
                break
        yield os.path.basename(path), texts


def decode_rule(data):
    """Bytes to text: each byte that is no part of a well-formed sequence is one U+FFFD."""
    text, at = "", 0
    while at < len(data):
        for wide in (1, 2, 3, 4):
            try:
                text += data[at:at + wide].decode("utf-8")
                at += wide
                break
            except UnicodeDecodeError:
                continue
        else:
            text += "\ufffd"
            at += 1
    return text


def invalid_lines():
    random = oracle.Random(99)
    fixed = [b"\xff", b"a\x80b", b"\xc3", b"\xc3(", b"\xe2\x82", b"a\xe2\x82 b", b"\xed\xa0\x80",
             b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xf0\x9f\x98", b"\xe2[MASK]\x82", b"[MASK\xff]",
             b"e\xcc\x81\xff\xcc\x81", b"\xf8\x88\x80\x80\x80", b"\xe0\x80\x80x"]
    noise = [bytes(random.below(256) for _ in range(random.below(60))) for _ in range(5000)]
    broken = []
    for _ in range(5000):
        data = bytearray(oracle.random_text(random).encode())
        data[random.below(len(data))] = random.below(256)
        broken.append(bytes(data))
    return fixed + noise + broken


class Checker:
    def __init__(self, tool):
        self.tool = tool

    def run(self, model, data, lower_first):
        frames = b"".join(struct.pack("<I", len(d)) + d for d in data)
        command = [self.tool, model] + (["--lower-first"] if lower_first else [])
        done = subprocess.run(command, input=frames, stdout=subprocess.PIPE)
        if done.returncode:
            sys.exit("%s: exit code %d" % (" ".join(command), done.returncode))
        return done.stdout.decode().split("\n")[:-1]

    def compare(self, name, model, tokenizer, texts, lower_first=False):
        """texts: str, or bytes to be read by decode_rule."""
        data = [t if isinstance(t, bytes) else t.encode() for t in texts]
        mine, tokens = self.run(model, data, lower_first), 0
        if len(mine) != len(data):
            sys.exit("%s: %d lines for %d texts" % (name, len(mine), len(data)))
        for first in range(0, len(texts), 20000):
            part = [decode_rule(t) if isinstance(t, bytes) else t
                    for t in texts[first:first + 20000]]
            encoded = tokenizer.encode_batch(part, add_special_tokens=False)
            for i, e in enumerate(encoded, first):
                tokens += len(e.ids)
                theirs = " ".join("%d:%d" % p for p in zip(e.ids, e.word_ids))
                if mine[i] != theirs:
                    sys.exit("%s: %r\n  ours   %s\n  oracle %s" % (name, texts[i], mine[i], theirs))
        print("ok  %-52s %9d texts %10d tokens" % (name, len(texts), tokens), flush=True)


def check_real(checker, model, shared, scratch):
    pieces = open(os.path.join(model, "vocab.txt"), encoding="utf-8").read().split("\n")[:-1]
    vocab = oracle.read_vocab(os.path.join(model, "vocab.txt"))
    cased = os.path.join(scratch, "real-cased")
    oracle.write_model(cased, pieces, "cased")
    uncased = oracle.build(vocab, "uncased")
    for name, texts in [*nbest_texts(shared), *sentences(shared)]:
        checker.compare(name, model, uncased, texts)
        checker.compare(name + ", cased, lowered first", cased, oracle.build(vocab, "lower-first"),
                        texts, True)
    checker.compare("adversarial lines", model, uncased, oracle.adversarial())
    checker.compare("invalid UTF-8", model, uncased, invalid_lines())


def check_synthetic(checker, scratch, quick):
    pieces = oracle.synthetic_pieces()
    vocab = {p: i for i, p in enumerate(pieces)}
    chars = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    random = oracle.Random(20240607)
    texts = [oracle.random_text(random) for _ in range(20000)]
    for setting, flags in oracle.SETTINGS.items():
        if not flags[0]:
            continue
        model, lower_first = os.path.join(scratch, setting), flags[4]
        oracle.write_model(model, pieces, setting)
        tokenizer = oracle.build(vocab, setting)
        for name, lines in (("random texts", texts), ("adversarial lines", oracle.adversarial()),
                            ("invalid UTF-8", invalid_lines())):
            checker.compare(setting + ", " + name, model, tokenizer, lines, lower_first)
        if not quick:
            lines = [chr(c) for c in chars] + ["a%sb" % chr(c) for c in chars]
            checker.compare(setting + ", every code point", model, tokenizer, lines, lower_first)


def check_json(checker, scratch):
    """tokenizer.json as the oracle itself writes it, clean_text off among them."""
    vocab = {p: i for i, p in enumerate(dict.fromkeys(oracle.synthetic_pieces()))}
    random = oracle.Random(5)
    texts = [oracle.random_text(random) for _ in range(5000)] + oracle.adversarial()
    for setting in ("uncased", "cased", "no-cjk", "no-clean", "nothing"):
        model = os.path.join(scratch, "json-" + setting)
        os.makedirs(model)
        tokenizer = oracle.build(vocab, setting)
        tokenizer.save(os.path.join(model, "tokenizer.json"))
        checker.compare("tokenizer.json, " + setting, model, tokenizer, texts)
        checker.compare("tokenizer.json, %s, invalid UTF-8" % setting, model, tokenizer,
                        invalid_lines())


def check_added(checker, scratch):
    """Added tokens with every flag, beyond the vocabulary and inside it."""
    vocab = {p: i for i, p in enumerate(dict.fromkeys(oracle.synthetic_pieces()))}
    random = oracle.Random(6)
    parts = ["[MASK]", "[mask]", "[NEW]", "[new]", "etao", "ETAO", " ", "\u3000", "\t", "a", "B",
             "\u00c9", "e\u0301", "\u00a0 ", "[CLS]", "x", ".", "\u4e2d", "[NEW][NEW]", "#"]
    texts = ["".join(parts[random.below(len(parts))] for _ in range(random.below(12)))
             for _ in range(10000)]
    for flags in range(16):
        lstrip, rstrip, normalized, special = [bool(flags >> i & 1) for i in range(4)]
        mask = AddedToken("[MASK]", special=True, normalized=normalized, lstrip=lstrip,
                          rstrip=rstrip)
        new = [AddedToken(c, special=special, normalized=normalized, lstrip=rstrip, rstrip=lstrip)
               for c in ("[NEW]", "\u00c9ta", "etao")]
        plain = [AddedToken(s, special=True, normalized=False) for s in oracle.SPECIAL[:-1]]
        for setting in ("uncased", "cased"):
            tokenizer = oracle.build(vocab, setting, plain + [mask])
            (tokenizer.add_special_tokens if special else tokenizer.add_tokens)(new)
            decoder = {i: {"content": t.content, "lstrip": t.lstrip, "rstrip": t.rstrip,
                           "normalized": t.normalized, "special": t.special,
                           "single_word": t.single_word}
                       for i, t in tokenizer.get_added_tokens_decoder().items()}
            model = os.path.join(scratch, "added-%s-%d" % (setting, flags))
            oracle.write_model(model, list(vocab), setting, {"added_tokens_decoder": decoder})
            checker.compare("added tokens, %s, flags %d" % (setting, flags), model, tokenizer,
                            texts)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    parser.add_argument("--model", default=os.path.join(ROOT, "bench/data/model"))
    parser.add_argument("--shared")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    checker = Checker(args.tool)
    with tempfile.TemporaryDirectory() as scratch:
        check_real(checker, args.model, args.shared, scratch)
        check_added(checker, scratch)
        check_json(checker, scratch)
        check_synthetic(checker, scratch, args.quick)


main()
