#!/usr/bin/env python3
"""Writes the seed corpora of the archive fuzzers and of the index of a sharded model.

    make_fuzz_seeds.py tests/fuzz/corpus
"""
import gzip
import pathlib
import sys

import zstandard

LINE = b'{"id":"u 1","ref":"a b","hyps":[{"text":"a \\u00e9\\n","score":-1.5e0,"ctc":[1]},{"text":""}]}\n'
MLM = b'{\n"u1": {"hyp_2": {"score": -2, "text": "b"}, "hyp_1": {"text": "a"}, "ref": "a"},\n"u2": {}}\n'
KBEST = b"u1 R\nu2\n\xffu1 A B\nu2 \n\xffu1 tensor(-4.06, device='cuda:0')\nu2 -1e-5\n\xffu2 C\n\xffu2 0.0\n"
INDEX = b'{"metadata": {"total_size": 8},\n "weight_map": {"a": "1.safetensors", "b": "2.safetensors", "c": "1.safetensors"}}\n'
STATE = b'{"format":"secondpass-state","version":1,"step":3,"count":2,"facts":{"loss":0.1,"at":[1,2]}}\n'
PLAN = (b'{"shard":0,"file":0,"stored":0,"raw":0,"line":0,"records":0,"utts":2,"hyps":9,"tokens":80,"cost":1.5,"xxh64":"00000000000000ab"}\n'
        b'{"shard":1,"file":0,"stored":7,"raw":3,"line":2,"records":2,"utts":1,"hyps":0,"tokens":0,"cost":0,"xxh64":"fedcba9876543210"}\n'
        b'{"shard":2,"file":4,"stored":0,"raw":0,"line":0,"records":3,"utts":1,"hyps":5,"tokens":7,"cost":1e+20,"xxh64":"0000000000000000"}\n')
PLAN_BARE = b'{"shard":0,"utts":2,"hyps":9,"tokens":80,"cost":1.5,"xxh64":"00000000000000ab"}\n'
ZSTD = zstandard.ZstdCompressor(write_checksum=True)

SEEDS = {
    "jsonl/line": LINE,
    "jsonl/lines": b"\xef\xbb\xbf" + LINE + b"  \r\n" + LINE,
    "jsonl/nan": b'{"id":"a","hyps":[{"text":"x","score":NaN}]}',
    "jsonl/surrogates": b'{"id":"\\ud83d\\ude00","hyps":[{"text":"\\ud800"}]}',
    "jsonl/twice": b'{"id":"a","id":"b","hyps":[]}',
    "mlm/document": MLM,
    "mlm/gap": b'{"u":{"hyp_1":{"text":"x"},"hyp_3":{"text":"x"}}}',
    "mlm/cut": MLM[:40],
    "mlm/strings": b'{"a\\"":{"hyp_1":{"text":"\\\\\\" ]}"}},"b":[1,{"x":"y"}]}',
    "espnet2/lists": KBEST,
    "espnet2/no-score": b"\xffu1 A\nu2\n\xff\xffu1 B\n",
    "espnet2/order": b"\xffu1 A\nu2 B\n\xffu2 -1\nu1 -1\n",
    "text/lines": b"one\r\n\n na\xc3\xafve \nlast",
    "text/nul": b"on\0e\n",
    "text/jsonl": LINE,
    "text/mlm": MLM,
    "text/array": b'[{"input":["x"]}]',
    "plan/places": PLAN,
    "plan/bare": PLAN_BARE,
    "plan/bare-twice": PLAN_BARE + PLAN_BARE.replace(b'"shard":0', b'"shard":1'),
    "plan/mixed": PLAN_BARE + PLAN.split(b"\n")[1] + b"\n",
    "plan/cut": PLAN[:200],
    "plan/back": PLAN.replace(b'"stored":7,"raw":3,"line":2', b'"stored":0,"raw":0,"line":2'),
    "plan/records": PLAN.replace(b'"records":2', b'"records":3'),
    "plan/huge": PLAN.replace(b'"utts":2', b'"utts":9223372036854775807'),
    "plan/too-huge": PLAN.replace(b'"hyps":9', b'"hyps":9223372036854775808'),
    "plan/cost": PLAN.replace(b'"cost":1.5', b'"cost":1.50'),
    "plan/zero": PLAN_BARE.replace(b'"utts":2', b'"utts":0'),
    "plan/order": PLAN_BARE.replace(b'"shard":0', b'"shard":1'),
    "plan/empty": b"",
    "safetensors_index/two-shards": INDEX,
    "safetensors_index/cut": INDEX[:60],
    "safetensors_index/no-map": b'{"metadata": {}}',
    "safetensors_index/map-empty": b'{"weight_map": {}}',
    "safetensors_index/map-array": b'{"weight_map": ["1.safetensors"]}',
    "safetensors_index/not-object": b"[]",
    "safetensors_index/name-number": b'{"weight_map": {"a": 1}}',
    "safetensors_index/name-empty": b'{"weight_map": {"a": ""}}',
    "safetensors_index/name-hidden": b'{"weight_map": {"a": ".."}}',
    "safetensors_index/name-elsewhere": b'{"weight_map": {"a": "sub/1.safetensors"}}',
    "safetensors_index/name-long": b'{"weight_map": {"a": "' + b"x" * 256 + b'"}}',
    "safetensors_index/name-zero": b'{"weight_map": {"a": "1\\u0000.safetensors"}}',
    "safetensors_index/tensor-twice": b'{"weight_map": {"a": "1.safetensors", "a": "1.safetensors"}}',
    "safetensors_index/not-utf8": b'{"weight_map": {"\xff": "1.safetensors"}}',
    "source/plain": b"\xef\xbb\xbfone\ntwo\r\n\nthree",
    "source/zstd": ZSTD.compress(b"one\ntwo\n" * 20) + b"\x50\x2a\x4d\x18\x02\0\0\0xy" + ZSTD.compress(b"z"),
    "source/gzip": gzip.compress(b"one\ntwo\n" * 20, mtime=0) + gzip.compress(b"", mtime=0),
    "state/good": STATE + bytes(range(24)),
    "state/cut": STATE + bytes(range(23)),
    "state/no-arrays": STATE,
    "state/no-line": STATE[:-1],
    "state/other-step": STATE.replace(b'"step":3', b'"step":4') + bytes(24),
    "state/other-count": STATE.replace(b'"count":2', b'"count":1') + bytes(12),
    "state/count-huge": STATE.replace(b'"count":2', b'"count":1537228672809129302') + bytes(8),
    "state/count-negative": STATE.replace(b'"count":2', b'"count":-1') + bytes(24),
    "state/version": STATE.replace(b'"version":1', b'"version":2') + bytes(24),
    "state/facts-list": STATE.replace(b'{"loss":0.1,"at":[1,2]}', b"[]") + bytes(24),
    "state/not-json": b"{\n" + bytes(24),
    "state/empty": b"",
    "source/cut": ZSTD.compress(bytes(range(256)) * 2)[:100],
}


def main():
    folder = pathlib.Path(sys.argv[1])
    for name, content in SEEDS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    main()
