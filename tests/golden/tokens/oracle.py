"""The oracle, and texts and vocabularies that C++ tests make in the same way.

The oracle is Hugging Face tokenizers of the pinned version, put together as BertTokenizerFast does.
tests/text/synthetic.cc mirrors Random, synthetic_pieces and random_text; change both or neither.
"""
import json
import os

import tokenizers
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

PINNED = "0.23.3"
SPECIAL = ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]
MASK = (1 << 64) - 1

# name: (clean_text, handle_chinese_chars, strip_accents, lowercase, lower_first)
SETTINGS = {
    "uncased": (True, True, True, True, False),
    "cased": (True, True, False, False, False),
    "lower": (True, True, False, True, False),
    "strip": (True, True, True, False, False),
    "no-cjk": (True, False, True, True, False),
    "no-clean": (False, True, True, True, False),
    "nothing": (False, False, False, False, False),
    "lower-first": (True, True, False, False, True),
}


def normalizer(setting):
    clean, cjk, strip, lower, lower_first = SETTINGS[setting]
    bert = normalizers.BertNormalizer(clean_text=clean, handle_chinese_chars=cjk,
                                      strip_accents=strip, lowercase=lower)
    return normalizers.Sequence([normalizers.Lowercase(), bert]) if lower_first else bert


def build(vocab, setting, added=None):
    """vocab: {piece: id}; added: AddedTokens, else the five special ones as BERT has them."""
    assert tokenizers.__version__ == PINNED, "the oracle is tokenizers==" + PINNED
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizer(setting)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    plain = [AddedToken(s, special=True, normalized=False) for s in SPECIAL if s in vocab]
    tokenizer.add_special_tokens(added if added is not None else plain)
    return tokenizer


def words(setting):
    """A function from text to its normalised words, before any vocabulary."""
    norm, pre = normalizer(setting), pre_tokenizers.BertPreTokenizer()
    return lambda text: [w for w, _ in pre.pre_tokenize_str(norm.normalize_str(text))]


def read_vocab(path):
    return models.WordPiece.read_file(path)


def write_model(directory, pieces, setting, extra=None):
    """A model directory that asks secondpass for `setting` (one with clean_text)."""
    clean, cjk, strip, lower, _ = SETTINGS[setting]
    assert clean
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, "vocab.txt"), "w", newline="\n", encoding="utf-8") as out:
        out.write("".join(p + "\n" for p in pieces))
    config = {"tokenizer_class": "BertTokenizer", "do_lower_case": lower, "strip_accents": strip,
              "tokenize_chinese_chars": cjk}
    config.update(extra or {})
    with open(os.path.join(directory, "tokenizer_config.json"), "w") as out:
        json.dump(config, out)


class Random:
    """xorshift64*, the same in C++."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        x = self.state
        x ^= x >> 12
        x = (x ^ (x << 25)) & MASK
        x ^= x >> 27
        self.state = x
        return (((x * 0x2545F4914F6CDD1D) & MASK) >> 33) % n


# Single characters that are pieces, alone and as "##": so that normal forms can be told apart.
PIECE_RANGES = [(0x21, 0x7E), (0xA1, 0x24F), (0x250, 0x2FF), (0x370, 0x3FF), (0x400, 0x52F),
                (0x5D0, 0x5EA), (0x621, 0x64A), (0x904, 0x950), (0xE01, 0xE4E), (0x1100, 0x11FF),
                (0x1E00, 0x1EFF), (0x2010, 0x2040), (0x3001, 0x30FF), (0x4E00, 0x4E7F),
                (0x1D157, 0x1D172)]


def synthetic_pieces():
    """All of PIECE_RANGES, and 4,000 made-up pieces of 2 to 6 letters; some of them twice."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    for first, last in PIECE_RANGES:
        for c in range(first, last + 1):
            pieces += [chr(c), "##" + chr(c)]
    random = Random(88172645463325252)
    for i in range(4000):
        piece = "##" if random.below(2) else ""
        for _ in range(2 + random.below(5)):
            piece += "etaoinshrdlu"[random.below(12)]
        pieces.append(piece)
    return pieces


# (how often of 100, first, last): what random_text draws from.
TEXT_RANGES = [(30, 0x61, 0x7A), (8, 0x41, 0x5A), (10, 0x20, 0x20), (6, 0x21, 0x7E),
               (3, 0x00, 0x1F), (6, 0xA0, 0x24F), (10, 0x300, 0x36F), (3, 0x370, 0x52F),
               (2, 0x591, 0x6ED), (3, 0x900, 0xDFF), (2, 0x1DC0, 0x1DFF), (2, 0x1E00, 0x1FFF),
               (2, 0x2000, 0x206F), (2, 0x3000, 0x30FF), (2, 0x4E00, 0x9FFF), (1, 0xF900, 0xFFFD),
               (2, 0xAC00, 0xD7A3), (1, 0xA8E0, 0xABED), (2, 0x1D157, 0x1D172),
               (1, 0x16FE0, 0x16FF1), (1, 0x11000, 0x1123F), (1, 0x10000, 0x10FFFF)]


def random_text(random):
    """Up to 40 characters, special tokens among them."""
    text = ""
    for _ in range(1 + random.below(40)):
        pick = random.below(103)
        if pick >= 100:
            text += SPECIAL[random.below(5)]
            continue
        for weight, first, last in TEXT_RANGES:
            if pick < weight:
                text += chr(first + random.below(last - first + 1))
                break
            pick -= weight
    return text


def adversarial():
    """Lines that tokenizers get wrong."""
    marks = "\u0315\u0300\u05ae\u0327\u302e\U0001D16D\u1DFA\u0334\u1B44\u0345\u034F\U0001D165"
    lines = ["", " ", "\t\r\n\v\f", "[MASK]", "a[MASK]b", "[mask]", "[Mask]", "[MASK][SEP][CLS]",
             "[MAS[MASK]K]", "[[MASK]]", "[MASK", "MASK]", "[UNK] [PAD]", "x [UNK] y", "<unk>",
             " [MASK] ", "a\u3000[MASK]\u00a0b", "[MASK]\u0301", "e\u0301[MASK]\u0301e", "##a",
             "a##b", "# #", "don't", "it's o'clock", "re-score", "e.g., 3.14%", "$5 <a@b.c>",
             "caf\u00e9 na\u00efve \u00c5ngstr\u00f6m", "cafe\u0301", "stra\u00dfe STRASSE",
             "\u0130stanbul \u0131", "\u03a3\u03a3 \u03c3\u03c2 \u1fb3", "\u1e9e\u212a\u212b",
             "\u5317\u4eac\u5e02 abc\u4e2dabc", "\u304c\u30ac\u304b\u3099", "\ud55c\uad6d\uc5b4",
             "\u1112\u1161\u11ab", "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0e01\u0e33",
             "\ufb01\ufb02 \u210c \u2460", "a\u200bb\u200db\ufeffc", "a\x00b\x07c\x7fd\x85e",
             "\ufffd a\ufffdb", "a\u2028b\u2029c\u00a0d\u3000e",
             "\U0001F600 \U0001F468\u200d\U0001F469",
             "\u201cquoted\u201d \u2014 \u2026", "\u00bf\u00a1", "`^~|+=<>$", "\U0002F800\uF900",
             "\u0344\u0f73\u0f81", "\u0cc0\u0c48\u0dde", "\U0001D15E\U0001D160\u0301",
             # A dropped mark ends a run to be sorted when its class is 0, and only then.
             *("q\U0001D16D%s\U0001D165z" % m for m in "\u034f\u0c48\u0301\u0344\u20dd"),
             "\U00016FF0\u302F\u0300\u302E", "q" + marks + "z", "q" + marks[::-1] + "z",
             "i\u0307\u0323", "\u1e69\u0323\u0307", "THE QUICK BROWN FOX"]
    for n in (99, 100, 101, 102, 399, 400, 401):
        lines += ["a" * n, "\u00e9" * n, "x " + "e" * n + " y", "\u4e00" * n, "e\u0301" * n]
    lines += [marks * 50, "[MASK]" * 300, "ab" * 5000, "\u0345\u0334" * 2000,
              "\U0001D165\u302E\u1B44" * 500, "a " * 3000]
    return lines
