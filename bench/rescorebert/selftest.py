#!/usr/bin/env python3
"""What bench/rescorebert.sh takes for granted, checked: folds share no speaker, a step is done once,
what other settings made is refused, a failing command ends the bench with what it said.

usage: selftest.py
"""

import collections
import json
import pathlib
import sys
import tempfile

import folds
import steps


def check(condition, what):
    if not condition:
        raise SystemExit(f"selftest: {what}")


def check_folds():
    lines = [json.dumps({"id": f"{speaker}-{chapter}-{u:04}"})
             for speaker in range(100, 140) for chapter in (1, 2) for u in range(speaker % 7 + 1)]
    for count in (2, 3, 5):
        parts = folds.split(lines, count)
        speakers = [{folds.speaker(folds.identity(line)) for line in part} for part in parts]
        check(sorted(line for part in parts for line in part) == sorted(lines), "lists lost or doubled")
        check(sum(map(len, speakers)) == 40, "a speaker is in two folds")
        check(max(map(len, parts)) - min(map(len, parts)) <= 14, "folds of very different sizes")
        check(parts == folds.split(lines, count), "folds are not repeatable")
        check(all([line for line in lines if line in set(part)] == part for part in parts), "order")
    check(folds.deal(collections.Counter(a=5, b=3, c=2), 2) == {"a": 0, "b": 1, "c": 1}, "the deal")
    check(folds.spread(list(range(10)), 4) == [0, 2, 5, 7], "lists taken evenly")
    check(folds.spread([1, 2], 0) == folds.spread([1, 2], 5) == [1, 2], "all lists")


def refused(what, call):
    try:
        call()
    except SystemExit as exit:
        return str(exit)
    return check(False, f"{what} is not refused")


def check_steps(folder):
    made = []
    some = steps.Steps(folder / "out", sys.executable, {"a": 1})
    for _ in range(2):
        check(some.once("x", lambda: made.append(1) or {"n": len(made)}) == {"n": 1}, "a step done twice")
    steps.Steps(folder / "out", sys.executable, {"a": 1})
    check("other settings" in refused("another setting",
                                      lambda: steps.Steps(folder / "out", sys.executable, {"a": 2})), "why")
    said = some.json("-c", "import json, sys; print(json.dumps(sys.argv[1:]))", 3)
    check(said == ["3", "--json"], f"arguments {said}")
    failing = ("-c", "import sys; print('the reason', file=sys.stderr); sys.exit(4)")
    told = refused("a failure", lambda: some.once("y", lambda: some.json(*failing)))
    check("exit 4:" in told and told.endswith("the reason"), told)
    check(not (folder / "out/steps/y.json").exists(), "a failed step is kept")


def check_files(folder):
    path = folder / "lines"
    steps.write_lines(path, ["a\n", "b", "c\n"])
    check(path.read_text(encoding="utf-8") == "a\nb\nc\n" and steps.read_lines(path) == ["a", "b", "c"],
          "lines of a file")
    check(steps.first_lines(path, 2) == ["a\n", "b\n"], "first lines")


def main():
    check_folds()
    with tempfile.TemporaryDirectory() as folder:
        check_steps(pathlib.Path(folder))
        check_files(pathlib.Path(folder))
    print("ok")


if __name__ == "__main__":
    main()
