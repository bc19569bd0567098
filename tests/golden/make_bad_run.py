#!/usr/bin/python3
"""Writes bad/run: parts of a run directory, each with the one fault it is named after, and good-*
controls. Needs Debian's python3-zstandard. Written from FORMATS.md alone, so it is a second writer
of the format as well."""
import json
import os
import struct

import zstandard

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bad", "run")
LINES = [
    b'{"id":"a","hyps":[{"i":0,"pll":-3.5,"n":2},{"i":1,"pll":null,"n":0,"flag":"empty"}]}\n',
    b'{"id":"b","hyps":[{"i":0,"pll":-1.25,"n":1}]}\n',
    b'{"id":"c","hyps":[]}\n',
]


MASK = (1 << 64) - 1
PRIMES = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63,
          0x27D4EB2F165667C5)


def rotate(value, bits):
    return (value << bits | value >> (64 - bits)) & MASK


def mix_lane(lane, word):
    return rotate(lane + word * PRIMES[1] & MASK, 31) * PRIMES[0] & MASK


def xxh64(data):
    """XXH64 with seed 0."""
    at, total = 0, PRIMES[4]
    if len(data) >= 32:
        lanes = [PRIMES[0] + PRIMES[1] & MASK, PRIMES[1], 0, -PRIMES[0] & MASK]
        while at + 32 <= len(data):
            words = struct.unpack_from("<4Q", data, at)
            lanes = [mix_lane(lane, word) for lane, word in zip(lanes, words)]
            at += 32
        total = sum(rotate(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18))) & MASK
        for lane in lanes:
            total = ((total ^ mix_lane(0, lane)) * PRIMES[0] + PRIMES[3]) & MASK
    total = total + len(data) & MASK
    for size, code, first, bits, second, third in (
            (8, "<Q", None, 27, PRIMES[0], PRIMES[3]), (4, "<I", PRIMES[0], 23, PRIMES[1], PRIMES[2]),
            (1, "<B", PRIMES[4], 11, PRIMES[0], 0)):
        while at + size <= len(data):
            word = struct.unpack_from(code, data, at)[0]
            word = mix_lane(0, word) if first is None else word * first & MASK
            total = (rotate(total ^ word, bits) * second + third) & MASK
            at += size
            if size == 4:
                break
    for bits, prime in ((33, PRIMES[1]), (29, PRIMES[2]), (32, 1)):
        total = (total ^ total >> bits) * prime & MASK
    return total


def low_hash(raw):
    return xxh64(raw) & 0xFFFFFFFF


def frame(raw, checksum=True, size=True):
    packer = zstandard.ZstdCompressor(level=3, write_checksum=checksum, write_content_size=size)
    return packer.compress(raw)


def table(pairs, count=None, descriptor=0x80, magic=0x8F92EAB1):
    body = b"".join(struct.pack("<III", len(packed), len(raw), low_hash(raw)) for packed, raw in pairs)
    body += struct.pack("<IBI", len(pairs) if count is None else count, descriptor, magic)
    return struct.pack("<II", 0x184D2A5E, len(body)) + body


def write(name, data):
    with open(os.path.join(HERE, name), "wb") as f:
        f.write(data)


def shards():
    raws = [LINES[0] + LINES[1], LINES[2]]
    pairs = [(frame(raw), raw) for raw in raws]
    data = b"".join(packed for packed, _ in pairs)
    good = data + table(pairs)
    skippable = struct.pack("<II", 0x184D2A50, 4) + b"note"
    swapped = [(pairs[0][0], LINES[2]), (pairs[1][0], raws[0])]
    plain = frame(raws[0], checksum=False)
    unsized = frame(raws[0], size=False)
    cut_raws = [LINES[0] + LINES[1][:10], LINES[1][10:] + LINES[2]]
    cut = [(frame(raw), raw) for raw in cut_raws]
    files = {
        "good-two-frames": good,
        "good-no-lines": frame(b"") + table([(frame(b""), b"")]),
        "empty-file": b"",
        "not-zstd": b"".join(LINES),
        "table-missing": data,
        "table-first": table(pairs) + data,
        "table-alone": table([]),
        "table-of-another-frame-order": data + table(swapped),
        "table-one-frame-short": data + table(pairs[:1]),
        "table-count-too-high": data + table(pairs, count=3),
        "table-count-huge": data + table(pairs, count=0xFFFFFFFF),
        "table-without-checksums": data + table(pairs, descriptor=0),
        "table-reserved-bits": data + table(pairs, descriptor=0xFC),
        "table-wrong-magic": data + table(pairs, magic=0x8F92EAB2),
        "table-size-too-large": data + struct.pack("<II", 0x184D2A5E, 0xFFFFFFFF) + table(pairs)[8:],
        "skippable-first": skippable + good,
        "skippable-between": pairs[0][0] + skippable + pairs[1][0] + table(pairs),
        "frame-without-checksum": plain + table([(plain, raws[0])]),
        "frame-without-size": unsized + table([(unsized, raws[0])]),
        "frame-cut-within-line": b"".join(p for p, _ in cut) + table(cut),
        "frame-checksum-wrong": data[: len(pairs[0][0]) - 1]
        + bytes([data[len(pairs[0][0]) - 1] ^ 1]) + good[len(pairs[0][0]):],
        "truncated-within-frame": good[:20],
        "bytes-after-the-end": good + b"\n",
        "size-claim-of-a-tebibyte": b"\x28\xb5\x2f\xfd\xe4" + struct.pack("<Q", 1 << 40)
        + b"\x01\x00\x00" + b"\0" * 4 + table(pairs),
    }
    for name, data in files.items():
        write(("" if name.startswith("good-") else "shard-") + name + ".jsonl.zst", data)


def markers():
    members = {"utts": 3, "hyps": 3, "tokens": 3, "raw_bytes": 150, "xxh64": "00ff00ff00ff00ff",
               "zst_bytes": 120, "zst_xxh64": "0123456789abcdef", "first_id": "a", "last_id": "c"}

    def text(**changes):
        return (json.dumps({**members, **changes}, separators=(",", ":")) + "\n").encode()

    files = {
        "good-marker": text(),
        "empty-file": b"",
        "cut-off": text()[:60],
        "upper-case-hash": text(xxh64="00FF00FF00FF00FF"),
        "short-hash": text(xxh64="ff00ff00ff00ff"),
        "signed-count": text(utts=-3),
        "count-in-a-string": text(hyps="3"),
        "count-with-fraction": text(tokens=3.0),
        "count-beyond-64-bits": text().replace(b":3,", b":99999999999999999999,", 1),
        "spaces": text().replace(b":", b": "),
        "no-line-end": text()[:-1],
        "member-twice": text().replace(b'{"utts":3', b'{"utts":3,"utts":3'),
        "member-too-many": text(more=1),
        "member-missing": text().replace(b',"last_id":"c"', b""),
        "ids-null-with-utterances": text(first_id=None, last_id=None),
        "ids-without-utterances": text(utts=0),
    }
    for name, data in files.items():
        write(("" if name.startswith("good-") else "done-") + name + ".done", data)


if __name__ == "__main__":
    os.makedirs(HERE, exist_ok=True)
    shards()
    markers()
