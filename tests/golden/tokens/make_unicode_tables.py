#!/usr/bin/env python3
"""Writes host/text/unicode_bert.inc: what the oracle does with each Unicode code point.

Usage: make_unicode_tables.py OUTPUT      (needs tokenizers==0.23.3, the pinned oracle)

Nothing here comes from a Unicode database: each property is asked of the oracle itself, one code
point at a time, so that the tables hold whatever Unicode versions its parts were built with.
"""
import sys
import unicodedata

import tokenizers
from tokenizers import normalizers, pre_tokenizers

PINNED = "0.23.3"
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
HANGUL = range(0xAC00, 0xAC00 + 11172)


def bert(clean=False, cjk=False, strip=False, lower=False):
    return normalizers.BertNormalizer(clean_text=clean, handle_chinese_chars=cjk,
                                      strip_accents=strip, lowercase=lower)


def hangul(c):
    """The algorithmic decomposition, to check that the oracle has it too."""
    i = c - 0xAC00
    out = chr(0x1100 + i // 588) + chr(0x1161 + i % 588 // 28)
    return out + (chr(0x11A7 + i % 28) if i % 28 else "")


def probe_sets():
    """Code points that clean_text drops, that are white space, punctuation, CJK."""
    clean, cjk = bert(clean=True).normalize_str, bert(cjk=True).normalize_str
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    drop, space, punct, ideograph = [], [], [], []
    for c in CODE_POINTS:
        s = chr(c)
        cleaned = clean(s)
        assert cleaned in ("", " ", s), hex(c)
        pieces = len(split("a" + s + "a"))
        assert pieces in (1, 2, 3), hex(c)
        # What is both (U+0085) is dropped by clean_text and splits words without it.
        if cleaned == "":
            drop.append(c)
        elif cleaned == " ":
            assert pieces == 2, hex(c)
        if pieces == 2:
            space.append(c)
            assert cleaned in ("", " "), hex(c)
        elif pieces == 3:
            punct.append(c)
        if cjk(s) != s:
            assert cjk(s) == " " + s + " ", hex(c)
            ideograph.append(c)
    return drop, space, punct, ideograph


def probe_nonstarters():
    """code point -> canonical combining class, for those whose class is not 0.

    The class is found by order: NFD sorts the code point against one mark of each known class.
    """
    nfd = normalizers.NFD().normalize_str

    def moves(first, second):
        return first != second and nfd("a" + first + second) == "a" + second + first

    lowest, highest = "\u0334", "\u0345"  # classes 1 and 240
    ladder = {1: lowest, 240: highest}
    for c in range(0x300, 0x3100):
        s, k = chr(c), unicodedata.combining(chr(c))
        # A mark that is newer than the oracle's tables is of class 0 there: no use as a step.
        if k and nfd(s) == s and (moves(s, lowest) or moves(highest, s)):
            ladder.setdefault(k, s)
    steps = sorted(ladder.items())
    classes = {}
    for c in CODE_POINTS:
        s = chr(c)
        if nfd(s) != s or not (moves(s, lowest) or moves(highest, s)):
            continue
        # ladder marks that go before s when they follow it have a smaller class
        smaller = [k for k, mark in steps if moves(s, mark)]
        larger = [k for k, mark in steps if moves(mark, s)]
        between = [k for k, _ in steps if k not in smaller and k not in larger]
        assert len(between) == 1 or not between, (hex(c), between)
        classes[c] = between[0] if between else (smaller[-1] + 1)
    return classes


def probe_strip(classes):
    """Marks (dropped) and {code point: what is left of its NFD}, Hangul syllables apart."""
    nfd, strip = normalizers.NFD().normalize_str, bert(strip=True).normalize_str
    marks, left = [], {}
    for c in CODE_POINTS:
        s = chr(c)
        full, out = nfd(s), strip(s)
        if c in HANGUL:
            assert out == hangul(c), hex(c)
        elif out == "":
            marks.append(c)
            # All of its parts are dropped; one that is a starter ends the run being sorted.
            if full != s and all(ord(p) in classes for p in full):
                classes[c] = classes[ord(full[0])]
        elif out != s:
            left[c] = out
            check_decomposition(c, full, out, classes)
    return marks, left


def check_decomposition(c, full, out, classes):
    """Dropping marks before sorting must not change the order of what is left."""
    assert ord(full[0]) not in classes and ord(out[0]) not in classes, hex(c)
    seen = False
    for part in full:
        seen = seen or (ord(part) in classes and part in out)
        assert not (seen and ord(part) not in classes), hex(c)


def probe_lower():
    lower = normalizers.Lowercase().normalize_str
    mapping = {c: lower(chr(c)) for c in CODE_POINTS if lower(chr(c)) != chr(c)}
    long = {c: v for c, v in mapping.items() if len(v) > 1}
    assert long == {0x130: "i\u0307"}, long
    return {c: ord(v) for c, v in mapping.items() if len(v) == 1}


def check_growth():
    """The normaliser's buffer holds 4 output bytes an input byte."""
    for flags in [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]:
        normalize = bert(False, *map(bool, flags)).normalize_str
        for c in CODE_POINTS:
            s = chr(c)
            assert len(normalize(s).encode()) <= 4 * len(s.encode()), hex(c)


def ranges(points):
    out, points = [], sorted(points)
    for c in points:
        if out and (out[-1][1] == c or (out[-1][1] == 0xD800 and c == 0xE000)):
            out[-1][1] = c + 1
        else:
            out.append([c, c + 1])
    return out


def gaps(points):
    """[gap, length, gap, length ..]: each gap counted from the end of the range before."""
    flat, end = [], 0
    for first, stop in ranges(points):
        flat += [first - end, stop - first]
        end = stop
    return flat


def lower_runs(mapping):
    """[gap from the last start, count, step, delta ..] for runs with one step and one delta."""
    flat, keys, i, last = [], sorted(mapping), 0, 0
    while i < len(keys):
        best, best_step = 1, 1
        for step in (1, 2):
            n = 1
            while (i + n < len(keys) and keys[i + n] == keys[i] + n * step
                   and mapping[keys[i + n]] - keys[i + n] == mapping[keys[i]] - keys[i]):
                n += 1
            if n > best:
                best, best_step = n, step
        flat += [keys[i] - last, best, best_step, mapping[keys[i]] - keys[i]]
        last = keys[i]
        i += best
    return flat


def single_pairs(left):
    """[gap, target ..] of code points of which one code point is left."""
    flat, last = [], 0
    for c in sorted(left):
        if len(left[c]) == 1:
            flat += [c - last, ord(left[c])]
            last = c
    return flat


def many(left):
    """[code point, count, parts ..] of code points of which several are left."""
    flat = []
    for c in sorted(left):
        if len(left[c]) > 1:
            assert len(left[c]) <= 4
            flat += [c, len(left[c])] + [ord(p) for p in left[c]]
    return flat


def array(name, kind, comment, values):
    lines, line = [], " "
    for v in values:
        item = " %d," % v
        if len(line) + len(item) > 100:
            lines.append(line)
            line = " "
        line += item
    lines.append(line)
    body = "\n".join(lines)
    return "/* %s */\nstatic const %s %s[] = {\n%s\n};\n\n" % (comment, kind, name, body)


def main():
    if tokenizers.__version__ != PINNED or len(sys.argv) != 2:
        sys.exit("usage: make_unicode_tables.py OUTPUT, with tokenizers==" + PINNED)
    drop, space, punct, ideograph = probe_sets()
    classes = probe_nonstarters()
    marks, left = probe_strip(classes)
    lower = probe_lower()
    check_growth()
    kept = {c: k for c, k in classes.items() if c not in set(marks)}
    assert not (set(kept) & set(lower)) and not (set(kept) & set(left))
    sets = "set of code points: gap from the end of the last range, length"
    text = ("/* Made by tests/golden/tokens/make_unicode_tables.py from tokenizers " + PINNED +
            "; do not edit. */\n\n")
    for name, points in (("drop", drop), ("space", space), ("punct", punct), ("cjk", ideograph),
                         ("mark", marks), ("nonstarter", classes)):
        text += array("gaps_" + name, "uint32_t", sets, gaps(points))
    text += array("lower_runs", "int32_t", "gap from the last start, count, step, delta",
                  lower_runs(lower))
    text += "enum { lower_count = %d };\n\n" % len(lower)
    text += array("strip_one", "uint32_t", "gap from the last code point, the one that is left",
                  single_pairs(left))
    text += array("strip_many", "uint32_t", "code point, count, those that are left", many(left))
    text += array("class_kept", "uint32_t",
                  "code points that stripping keeps, combining class not 0: code point, class",
                  [v for c in sorted(kept) for v in (c, kept[c])])
    with open(sys.argv[1], "w") as out:
        out.write(text.rstrip("\n") + "\n")


main()
