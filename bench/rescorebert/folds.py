"""Lists of an archive in jsonl, and their parts by speaker."""

import collections
import json


def identity(line):
    return json.loads(line)["id"]


def speaker(identity_of_utterance):
    return identity_of_utterance.split("-", 1)[0]


def deal(sizes, count):
    """{speaker: fold}: the largest first, each to the fold that has least so far."""
    total, fold = [0] * count, {}
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        fold[name] = min(range(count), key=lambda k: (total[k], k))
        total[fold[name]] += sizes[name]
    return fold


def split(lines, count):
    """`count` parts without a common speaker; the order of the lines is kept in each."""
    names = [speaker(identity(line)) for line in lines]
    fold = deal(collections.Counter(names), count)
    return [[line for line, name in zip(lines, names) if fold[name] == k] for k in range(count)]


def spread(lines, count):
    """`count` lines taken evenly, all when there are fewer."""
    if not count or count >= len(lines):
        return lines
    return [lines[i * len(lines) // count] for i in range(count)]
