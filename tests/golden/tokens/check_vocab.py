#!/usr/bin/env python3
"""Compares `secondpass vocab` with the oracle, live. Needs the pinned tokenizers and zstandard.

Usage: check_vocab.py --program PATH --tool PATH [--text FILE] [--lines N]

--program  the built secondpass
--tool     the built encode_tool
--text     sentences, .zst (default: the hypotheses of the sample archive in bench/data)
--lines    of them that are learned from (default: 20,000)

1. The oracle's WordPieceTrainer learns from the same text. Both must have the same characters; their
   merges may part where two pairs are equally frequent, for there the oracle's order hangs on a hash
   table: how many pieces both have is printed, and how many two runs of the oracle have in common.
2. The vocabulary is loaded by the oracle's BertWordPieceTokenizer; it must encode lines as we do.
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
from tokenizers import BertWordPieceTokenizer, Tokenizer, models, normalizers, pre_tokenizers, trainers

import oracle

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ADVERSARIAL = ["", "don't stop", "Caf\u00e9 NA\u00cfVE", "\u4f60\u597d world", "a\u0301b", "x" * 200,
               "[MASK] it", "\u00a0tab\tnew", "3.14% of $5", "\u0130stanbul"]


def read_lines(path, count):
    raw = zstandard.ZstdDecompressor().stream_reader(open(path, "rb"), read_across_frames=True)
    lines = []
    for line in io.TextIOWrapper(raw, encoding="utf-8", newline="\n"):
        if path.endswith(".jsonl.zst"):
            lines += [hyp["text"] for hyp in json.loads(line)["hyps"]]
        else:
            lines.append(line.rstrip("\n"))
        if len(lines) >= count:
            break
    return lines[:count]


def ours(program, lines, size, folder):
    text = os.path.join(folder, "text.txt")
    with open(text, "w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)
    out = os.path.join(folder, "vocab")
    subprocess.run([program, "vocab", "--data", text, "--format", "text", "--size", str(size),
                    "--out", out], check=True, capture_output=True)
    with open(os.path.join(out, "vocab.txt"), encoding="utf-8") as file:
        return out, file.read().splitlines()


def theirs(lines, size):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=size, min_frequency=2, limit_alphabet=1000,
                                        special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)
    return [piece for piece, _ in sorted(tokenizer.get_vocab().items(), key=lambda x: x[1])]


def compare(mine, first, second):
    letters = sum(len(piece.removeprefix("##")) == 1 for piece in mine)
    assert mine[:5] == first[:5] == SPECIAL
    mine_letters = sorted(p for p in mine if len(p.removeprefix("##")) == 1)
    assert mine_letters == sorted(p for p in first if len(p.removeprefix("##")) == 1), "alphabets"
    merges = [p for p in mine if len(p.removeprefix("##")) > 1][5:]
    others = [p for p in first if len(p.removeprefix("##")) > 1][5:]
    equal = next((i for i, (a, b) in enumerate(zip(merges, others)) if a != b), len(merges))
    both, again = len(set(mine) & set(first)), len(set(first) & set(second))
    print(f"{len(mine)} pieces, {letters} of one character; the first {equal} merges in the same "
          f"order; {both} pieces in both; two runs of the oracle share {again}")
    assert both >= 0.99 * len(mine) or both >= again - 10, "more than ties differ"


def encode(tool, directory, lines):
    frames = b"".join(struct.pack("<I", len(raw)) + raw for raw in (x.encode() for x in lines))
    out = subprocess.run([tool, directory], input=frames, check=True, capture_output=True).stdout
    return [[int(pair.split(":")[0]) for pair in line.split()] for line in out.decode().splitlines()]


def check_encoding(tool, directory, lines):
    tokenizer = BertWordPieceTokenizer(os.path.join(directory, "vocab.txt"), lowercase=True)
    wanted = [x.ids for x in tokenizer.encode_batch(lines, add_special_tokens=False)]
    got = encode(tool, directory, lines)
    for line, a, b in zip(lines, wanted, got):
        assert a == b, f"{line!r}: {a} against {b}"
    assert len(wanted) == len(got)
    print(f"{len(lines)} lines have the same ids")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--text")
    parser.add_argument("--lines", type=int, default=20000)
    args = parser.parse_args()
    assert oracle.tokenizers.__version__ == oracle.PINNED
    path = args.text or sorted(glob.glob(os.path.join(ROOT, "bench/data/*.jsonl.zst")))[0]
    lines = read_lines(path, args.lines)
    for size in (200, 2000):
        with tempfile.TemporaryDirectory() as folder:
            directory, mine = ours(args.program, lines, size, folder)
            compare(mine, theirs(lines, size), theirs(lines, size))
            check_encoding(args.tool, directory, lines[:5000] + ADVERSARIAL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
