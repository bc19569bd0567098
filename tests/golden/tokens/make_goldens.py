#!/usr/bin/env python3
"""Writes the committed goldens of tests/text beside this script. Needs the pinned oracle.

chars.txt    setting, then the CRC-32 of the words of every code point, a block of 4096 at a time
random.txt   setting, then the CRC-32 of words, ids and word indices of random texts, 250 at a time
lines.tsv    setting, text in hexadecimal, ids, word indices: lines that are easily got wrong
"""
import os
import zlib

import oracle

HERE = os.path.dirname(os.path.abspath(__file__))
CLEAN = [s for s, v in oracle.SETTINGS.items() if v[0]]


def word_stream(words):
    return ("\x1f".join(words) + "\x1e").encode()


def char_crcs(setting):
    words, out = oracle.words(setting), []
    for block in range(0, 0x110000, 4096):
        crc = 0
        for c in range(block, block + 4096):
            if not 0xD800 <= c < 0xE000:
                crc = zlib.crc32(word_stream(words(chr(c))), crc)
                crc = zlib.crc32(word_stream(words("a" + chr(c) + "b")), crc)
        out.append("%08x" % crc)
    return out


def random_crcs(setting, vocab):
    words, tokenizer, out = oracle.words(setting), oracle.build(vocab, setting), []
    random = oracle.Random(1234567)
    for _ in range(80):
        crc = 0
        for _ in range(250):
            text = oracle.random_text(random)
            crc = zlib.crc32(word_stream(words(text)), crc)
            e = tokenizer.encode(text, add_special_tokens=False)
            line = " ".join("%d:%d" % p for p in zip(e.ids, e.word_ids)) + "\n"
            crc = zlib.crc32(line.encode(), crc)
        out.append("%08x" % crc)
    return out


def write_hashes(name, rows):
    with open(os.path.join(HERE, name), "w") as out:
        for setting, hashes in rows:
            out.write(setting + "\n")
            for i in range(0, len(hashes), 10):
                out.write(" ".join(hashes[i:i + 10]) + "\n")


def main():
    vocab = {p: i for i, p in enumerate(oracle.synthetic_pieces())}
    write_hashes("chars.txt", [(s, char_crcs(s)) for s in oracle.SETTINGS])
    write_hashes("random.txt", [(s, random_crcs(s, vocab)) for s in CLEAN])
    with open(os.path.join(HERE, "lines.tsv"), "w") as out:
        for setting in CLEAN:
            tokenizer = oracle.build(vocab, setting)
            for text in oracle.adversarial():
                if len(text) <= 120:
                    e = tokenizer.encode(text, add_special_tokens=False)
                    out.write("%s\t%s\t%s\t%s\n" % (setting, text.encode().hex(),
                                                    " ".join(map(str, e.ids)),
                                                    " ".join(map(str, e.word_ids))))


main()
