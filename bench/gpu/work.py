"""What is measured: shapes, their models, and two kinds of work (fixed 24 tokens; real lengths).

A kind of work is an archive that can be made as long as a measurement needs: variants of 200 lists
under ever new ids. Their hypotheses have the lengths of the sample in bench/data to the token, but
their words in a new order (or are random words), so that no engine gains from repetition.
"""

import json
import pathlib
import random
import subprocess
import sys

import numpy as np
import tokenizers

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "bench/peers"))
import shapes  # noqa: E402  (of the CPU peers: random weights in Hugging Face layout)

BERT = dict(vocab=30522, positions=512)
SHAPES = {
    "base": dict(layers=12, hidden=768, heads=12, ffn=3072, **BERT),
    "teacher": dict(layers=24, hidden=1024, heads=16, ffn=4096, **BERT),
    "4x512": dict(layers=4, hidden=512, heads=8, ffn=2048, **BERT),
    "4x312": dict(layers=4, hidden=312, heads=12, ffn=1200, **BERT),
    # for the self-test on a CPU alone; 26 columns a head as 4x312 has
    "tiny": dict(layers=2, hidden=104, heads=4, ffn=144, vocab=8448, positions=512),
}
VOCAB = ROOT / "bench/data/model/vocab.txt"
SAMPLE = ROOT / "bench/data/dev-clean-200.jsonl.zst"
FIXED = 24  # tokens, [CLS] and [SEP] included
VARIANTS = 16  # more than one shard holds, so that none holds an equal hypothesis twice


def model(folder, name):
    """The model directory of a shape, made when it is not there."""
    path = pathlib.Path(folder) / name
    if not (path / "config.json").exists():
        shapes.write_model(path / "new", SHAPES[name], VOCAB)
        for file in (path / "new").iterdir():  # config.json last: it says that all are complete
            if file.name != "config.json":
                file.rename(path / file.name)
        (path / "new/config.json").rename(path / "config.json")
    return path


def with_zstandard(path):
    import zstandard
    return zstandard.ZstdDecompressor().stream_reader(open(path, "rb")).read()


def with_pyarrow(path):
    import pyarrow
    return pyarrow.input_stream(str(path), compression="zstd").read()


def decompress(path, program=None):
    """Bytes of a .zst file by whatever this machine has; at last by the program itself, which gives
    back ids and texts."""
    for way in (with_zstandard, with_pyarrow):
        try:
            return way(path)
        except (ImportError, OSError, ValueError, NotImplementedError):
            continue
    commands = [["zstd", "-dcq", str(path)]]
    if program:
        commands.append([str(program), "score", "--model", str(VOCAB.parent), "--out", "-",
                         "--method", "maskless", "--with-text", "--progress", "none", str(path)])
    for command in commands:
        try:
            return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            continue
    raise SystemExit(f"gpu.sh: nothing here decompresses {path}: zstandard, pyarrow or zstd would")


def sample(program=None):
    """The sample's lists: [[text, ..], ..]."""
    lines = decompress(SAMPLE, program).splitlines()
    return [[hyp["text"] for hyp in json.loads(line)["hyps"]] for line in lines]


class Tokens:
    """Hypotheses as token ids, one after the other, [CLS] and [SEP] included."""

    def __init__(self, ids):
        self.length = np.array([len(i) for i in ids], np.int64)
        self.start = np.cumsum(self.length) - self.length
        self.flat = np.fromiter((t for i in ids for t in i), np.int64, int(self.length.sum()))

    def __len__(self):
        return len(self.length)

    @property
    def copies(self):
        return int((self.length - 2).sum())


class Tokenizer:
    def __init__(self, folder):
        words = tokenizers.BertWordPieceTokenizer(str(pathlib.Path(folder) / "vocab.txt"),
                                                  lowercase=True)
        self.mask, self.cls = words.token_to_id("[MASK]"), words.token_to_id("[CLS]")
        self.sep, self.pad = words.token_to_id("[SEP]"), words.token_to_id("[PAD]")
        inner = words._tokenizer  # the quicker call, without offsets, is not in the wrapper
        self.batch = getattr(inner, "encode_batch_fast", inner.encode_batch)

    def ids(self, texts):
        return [encoding.ids for encoding in self.batch(texts)]

    def tokens(self, texts):
        return Tokens(self.ids(texts))


def shuffled(lists, rng):
    out = []
    for texts in lists:
        words = [text.split() for text in texts]
        for line in words:
            rng.shuffle(line)
        out.append([" ".join(line) for line in words])
    return out


def random_lists(words, rng, lists, hyps=10):
    return [[" ".join(rng.choices(words, k=FIXED - 2)) for _ in range(hyps)] for _ in range(lists)]


class Work:
    """One kind of work: `name` is "24" or "mix"."""

    def __init__(self, name, folder, lists):
        self.name = name
        self.path = pathlib.Path(folder) / f"{name}.jsonl"
        rng = random.Random(f"secondpass {name}")
        if name == "mix":
            self.variants = [shuffled(lists, rng) for _ in range(VARIANTS)]
        else:
            words = [w for w in VOCAB.read_text(encoding="utf-8").splitlines()
                     if w.isascii() and w.isalpha() and len(w) > 1]
            self.variants = [random_lists(words, rng, len(lists)) for _ in range(VARIANTS)]
        self.lists = len(self.variants[0])
        self.written = 0  # lists in the archive
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("")

    def texts(self, repeats):
        """Hypotheses of the first `repeats` blocks."""
        return [text for r in range(repeats) for texts in self.variants[r % VARIANTS]
                for text in texts]

    def archive(self, lists):
        """The archive with that many lists at least."""
        with open(self.path, "a", encoding="utf-8") as out:
            while self.written < lists:
                block = self.written // self.lists
                out.writelines(f'{{"id":"r{block:06d}-{i:04d}",{rest}' for i, rest
                               in enumerate(self.lines(block % VARIANTS)))
                self.written += self.lists
        return self.path

    def lines(self, variant):
        """The lines of a block behind their ids, kept: text is formatted once a variant."""
        kept = self.__dict__.setdefault("kept", {})
        if variant not in kept:
            kept[variant] = ['"hyps":' + json.dumps([{"text": t} for t in texts]) + "}\n"
                             for texts in self.variants[variant]]
        return kept[variant]
