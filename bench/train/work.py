"""What all engines train on: lines of text that are samples already, and steps of them.

Sentences are joined here and each sample becomes a line, so that secondpass (--join-share 0) and its
peers see the very same sequences. A step is as many whole lines as fit its tokens, [CLS] and [SEP]
counted.
"""

import json
import pathlib
import random
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SAMPLE = ROOT / "bench/data/dev-clean-200.jsonl.zst"
VOCAB = ROOT / "bench/data/model/vocab.txt"
SHAPES = {
    "4x256": dict(layers=4, hidden=256, heads=4, ffn=1024, vocab=8192, positions=192),
    "8x384": dict(layers=8, hidden=384, heads=6, ffn=1536, vocab=8192, positions=192),
    # of the self-test
    "tiny": dict(layers=2, hidden=64, heads=2, ffn=96, vocab=8192, positions=192),
}


def decompressed(path):
    """Lines of a file, of a .zst one as it is read."""
    if pathlib.Path(path).suffix != ".zst":
        with open(path, encoding="utf-8") as lines:
            yield from lines
        return
    with subprocess.Popen(["zstd", "-dcq", str(path)], stdout=subprocess.PIPE, text=True,
                          encoding="utf-8") as zstd:
        yield from zstd.stdout
        zstd.stdout.close()
        zstd.terminate()


def sentences(path):
    """Of a text file; of an archive in jsonl the first hypotheses."""
    for line in decompressed(path):
        text = json.loads(line)["hyps"][0]["text"] if line.startswith("{") else line
        if text.strip():
            yield " ".join(text.split())


def split(lines, every):
    """(training, held out): every N-th one is held out."""
    return ([line for i, line in enumerate(lines, 1) if i % every],
            [line for i, line in enumerate(lines, 1) if i % every == 0])


def samples(texts, lengths, share, longest, seed):
    """[(text, positions)]: a sentence, or in `share` of the samples that and what follows it while there
    is room. lengths: tokens of each text; a longer one than fits is left out."""
    draw, out, at = random.Random(seed), [], 0
    while at < len(texts):
        end, tokens = at + 1, lengths[at]
        if draw.random() < share:
            while end < len(texts) and tokens + lengths[end] + 2 <= longest:
                tokens += lengths[end]
                end += 1
        if 0 < tokens and tokens + 2 <= longest:
            out.append((" ".join(texts[at:end]), tokens + 2))
        at = end
    return out


def steps(lengths, step_tokens, seed, count):
    """`count` steps, each a list of numbers of samples: permutations one after the other."""
    draw, order, out = random.Random(seed), [], []
    while len(out) < count:
        step, tokens = [], 0
        while True:
            if not order:
                order = list(range(len(lengths)))
                draw.shuffle(order)
            if step and tokens + lengths[order[-1]] > step_tokens:
                break
            tokens += lengths[order[-1]]
            step.append(order.pop())
        out.append(step)
    return out


def batches(step, lengths, budget):
    """A step cut into batches of at most `budget` positions with padding, in its own order."""
    out, longest = [], 0
    for item in step:
        longest = max(longest, lengths[item]) if out else lengths[item]
        if not out or longest * (len(out[-1]) + 1) > budget:
            out.append([])
            longest = lengths[item]
        out[-1].append(item)
    return out


def write_model(folder, name, seed=1):
    """A model directory with random weights, without dropout, and config.json last."""
    sys.path.insert(0, str(ROOT / "bench/peers"))
    import shapes
    if not (folder / "config.json").exists():
        new = folder / "new"
        shapes.write_model(new, SHAPES[name], VOCAB, seed)
        for file in sorted(new.iterdir(), key=lambda f: f.name == "config.json"):
            file.rename(folder / file.name)
        new.rmdir()
    return folder


class Words:
    """The tokenizer of a model directory."""

    def __init__(self, folder):
        import tokenizers
        self.words = tokenizers.BertWordPieceTokenizer(str(pathlib.Path(folder) / "vocab.txt"),
                                                       lowercase=True)
        self.cls, self.sep = map(self.words.token_to_id, ("[CLS]", "[SEP]"))
        self.mask, self.pad = map(self.words.token_to_id, ("[MASK]", "[PAD]"))

    def ids(self, texts):
        """Without [CLS] and [SEP]."""
        return [e.ids for e in self.words.encode_batch(texts, add_special_tokens=False)]


def masked(ids, words, vocab, rate, shown, draw):
    """(ids with [CLS] and [SEP] as the encoder sees them, rows of the targets, their ids). `shown`:
    shares of targets that show [MASK] and a random token; draw: a NumPy generator."""
    count = max(1, int(round(rate * len(ids))))
    rows = draw.choice(len(ids), count, replace=False)
    rows.sort()
    seen = [words.cls, *ids, words.sep]
    for row in rows:
        kind = draw.random()
        if kind < shown[0]:
            seen[row + 1] = words.mask
        elif kind < shown[0] + shown[1]:
            seen[row + 1] = int(draw.integers(vocab))
    return seen, rows + 1, [ids[row] for row in rows]
