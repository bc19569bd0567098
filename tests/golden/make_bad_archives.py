#!/usr/bin/env python3
"""Writes tests/golden/bad/archive: small archives, each named by the one defect that it has.

    make_bad_archives.py tests/golden/bad/archive

tests/formats/archive_bad_test.cc says what must be reported of each.
"""
import gzip
import pathlib
import sys

import zstandard

GOOD = '{"id":"a","hyps":[{"text":"x","score":-1}]}\n'
MLM = '{\n"u1": {"hyp_1": {"score": -1, "text": "x"}, "ref": "x"},\n'

FILES = {
    "brace-missing.jsonl": GOOD + '{"id":"b","hyps":[{"text":"x"}]\n',
    "colon-missing.jsonl": GOOD + '{"id" "b","hyps":[]}\n',
    "escape-unknown.jsonl": '{"id":"a","hyps":[{"text":"\\q"}]}\n',
    "hyp-not-object.jsonl": '{"id":"a","hyps":["x"]}\n',
    "hyps-missing.jsonl": '{"id":"a"}\n',
    "hyps-not-array.jsonl": '{"id":"a","hyps":{"text":"x"}}\n',
    "hyps-twice.jsonl": '{"id":"a","hyps":[],"hyps":[]}\n',
    "id-control.jsonl": '{"id":"a\\tb","hyps":[]}\n',
    "id-empty.jsonl": '{"id":"","hyps":[]}\n',
    "id-missing.jsonl": GOOD + '{"hyps":[]}\n',
    "id-nul.jsonl": '{"id":"a\\u0000b","hyps":[]}\n',
    "id-number.jsonl": '{"id":7,"hyps":[]}\n',
    "id-surrogate.jsonl": '{"id":"\\udc00","hyps":[]}\n',
    "id-twice.jsonl": '{"id":"a","id":"b","hyps":[]}\n',
    "line-break-in-string.jsonl": '{"id":"a","hyps":[{"text":"x\ny"}]}\n',
    "nested-too-deep.jsonl": '{"id":"a","hyps":[],"x":' + "[" * 2000 + "]" * 2000 + "}\n",
    "ref-number.jsonl": '{"id":"a","ref":1,"hyps":[]}\n',
    "score-infinity.jsonl": '{"id":"a","hyps":[{"text":"x","score":-Infinity}]}\n',
    "score-nan.jsonl": GOOD + GOOD + '{"id":"b","hyps":[{"text":"x","score":NaN}]}\n',
    "score-out-of-range.jsonl": '{"id":"a","hyps":[{"text":"x","score":1e999}]}\n',
    "score-string.jsonl": '{"id":"a","hyps":[{"text":"x","score":"-1"}]}\n',
    "score-twice.jsonl": '{"id":"a","hyps":[{"text":"x","score":-1,"score":-2}]}\n',
    "text-missing.jsonl": '{"id":"a","hyps":[{"text":"x"},{"score":-1}]}\n',
    "text-null.jsonl": '{"id":"a","hyps":[{"text":null}]}\n',
    "text-surrogate.jsonl": '{"id":"a","hyps":[{"text":"\\ud800"}]}\n',
    "trailing-comma.jsonl": '{"id":"a","hyps":[],}\n',
    "two-values.jsonl": '{"id":"a","hyps":[]} {"id":"b","hyps":[]}\n',
    "utf8.jsonl": b'{"id":"a","hyps":[{"text":"caf\xe9"}]}\n',
    "truncated.jsonl.zst": zstandard.ZstdCompressor().compress(GOOD.encode() * 50)[:-9],
    "truncated.jsonl.gz": gzip.compress(GOOD.encode() * 50, mtime=0)[:-9],
    "garbage-behind.jsonl.zst": zstandard.ZstdCompressor().compress(GOOD.encode()) + b"garbage",
    "garbage-behind.jsonl.gz": gzip.compress(GOOD.encode(), mtime=0) + b"garbage",
    "array.json": '[{"input":["x","y"],"output":"x"}]\n',
    "other.json": '{"audio_filepath":"a.wav","text":"x","beams":[["x",-1.0]]}\n',
    "comma-missing.json": MLM + '"u2": {"hyp_1": {"score": -1 "text": "x"}}\n}\n',
    "garbage-behind.json": MLM + '"u2": {}\n}\n}\n',
    "gap.json": MLM + '"u2": {"hyp_1": {"text": "x"}, "hyp_3": {"text": "x"}}\n}\n',
    "hyp-0.json": MLM + '"u2": {"hyp_0": {"text": "x"}}\n}\n',
    "hyp-list.json": MLM + '"u2": {"hyp_1": {"text": "x", "score": [-1, -2]}}\n}\n',
    "hyp-twice.json": MLM + '"u2": {"hyp_1": {"text": "x"}, "hyp_1": {"text": "y"}}\n}\n',
    "id-empty.json": MLM + '"": {}\n}\n',
    "line-break-in-string.json": MLM + '"u2": {"hyp_1": {"text": "x\n"}}\n}\n',
    "nan.json": MLM + '"u2": {\n"hyp_1": {"text": "x",\n"score": NaN}}\n}\n',
    "ref-twice.json": MLM + '"u2": {"ref": null, "ref": "x"}\n}\n',
    "text-missing.json": MLM + '"u2": {"hyp_1": {"score": -1}}\n}\n',
    "truncated.json": MLM + '"u2": {"hyp_1": {"score": -1, "te',
    "truncated-between.json": MLM,
    "utf8.json": MLM.encode() + b'"u2": {"hyp_1": {"text": "caf\xe9"}}\n}\n',
    "utt-not-object.json": MLM + '"u2": ["x"]\n}\n',
    "binary.txt": bytes(range(1, 256)),
    "nul.txt": b"one\ntwo\nth\0ree\n",
    "utf8.txt": b"one\nna\xc3\xafve\nna\xefve\n",
    "utf16.txt": "one\n".encode("utf-16"),
}


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in FILES.items():
        folder.joinpath(name).write_bytes(content.encode() if isinstance(content, str) else content)


if __name__ == "__main__":
    main()
