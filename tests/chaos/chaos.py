"""Disturbs runs and checks that nothing but unfinished work is ever lost.

usage: chaos.py CASE --program secondpass --random-model random_model
                [--kills N] [--seed N] [--dtype TYPE]       the last three are of `kill` alone
Needs python3 and nothing else. Each CASE is a function below and a ctest entry."""

import argparse
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys

from workload import Workload, expect, run_case, wait_until


def kill(args, folder):
    """SIGKILL at N random moments, each of which finds the program at work; a thread count of its
    own for every life."""
    work = Workload(args, folder, seconds=4.0, options=["--dtype", args.dtype])
    rng = random.Random(args.seed)
    alive = lives = runs = 0
    run = work.folder / "run-0"
    while alive < args.kills:
        lives += 1
        expect(lives <= 4 * args.kills + 20, f"only {alive} of {lives} lives could be killed")
        process = work.start(run, threads=rng.choice((1, 2, 3, 4)))
        try:
            process.wait(timeout=rng.uniform(0.0, 2.5 * work.seconds / 16 + 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
        _, errors = process.communicate()
        if process.returncode == -signal.SIGKILL:
            alive += 1
            work.check_marked(run)
            continue
        expect(process.returncode == 0, f"life {lives}: exit {process.returncode}: {errors}")
        work.check_complete(run)
        shutil.rmtree(run)
        runs += 1
        run = work.folder / f"run-{runs}"
    work.finish(run, threads=2)
    print(f"{alive} kills of a working program in {lives} lives; {runs + 1} runs came out whole")


def started(work, run, **arguments):
    """A process that is past its first pass and works on the run directory."""
    process = work.start(run, **arguments)
    expect(wait_until((run / "run.json").exists, process), "the run ended too early to disturb")
    return process


def two_processes(args, folder):
    """The second one is refused with 6, whether it comes later or at the same moment."""
    work = Workload(args, folder, seconds=2.0)
    run = work.folder / "later"
    first = started(work, run)
    second = work.run(run)
    _, errors = first.communicate()
    expect(second.returncode == 6, f"the second: exit {second.returncode}: {second.stderr}")
    expect(str(run) in second.stderr, f"no run directory in: {second.stderr}")
    expect(first.returncode == 0, f"the first: exit {first.returncode}: {errors}")
    work.check_complete(run)
    run = work.folder / "at-once"
    both = [work.start(run, threads=n) for n in (1, 2)]
    for process in both:
        process.communicate()
    codes = sorted(process.returncode for process in both)
    expect(codes == [0, 6], f"both at once: exits {codes}")
    work.check_complete(run)


def signals(args, folder):
    """SIGINT and SIGTERM end the program with 130, soon, and the run can be resumed."""
    work = Workload(args, folder, seconds=3.0)
    for number in (signal.SIGINT, signal.SIGTERM):
        run = work.folder / number.name
        process = work.start(run, threads=2)
        some_done = wait_until(lambda: any(run.glob("*.done")), process)
        expect(some_done, "the run ended too early for a signal")
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        expect(process.returncode == 130, f"{number.name}: exit {process.returncode}: {errors}")
        expect(errors.strip(), f"{number.name}: no message")
        expect(0 < work.check_marked(run), "finished shards are gone")
        expect(not (run / "_SUCCESS").exists(), "_SUCCESS after an interruption")
        left = [path.name for path in run.iterdir() if "tmp" in path.name]
        expect(not left, f"{number.name}: temporary files stay behind: {left}")
        work.finish(run, threads=1)


def interrupted_run(work, run, **arguments):
    process = work.start(run, **arguments)
    expect(wait_until(lambda: any(run.glob("*.done")), process), "the run ended too early")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    expect(process.returncode == 130, f"SIGINT: exit {process.returncode}")


def contents(run):
    return {path.name: path.read_bytes() for path in run.iterdir()}


def identity(args, folder):
    """Another model, option or input is refused with 2 and named; the run directory stays as it
    is; threads may change."""
    work = Workload(args, folder, seconds=2.0, options=["--dtype", "f32"])
    run = work.folder / "run"
    interrupted_run(work, run)
    before = contents(run)
    changed = work.folder / "changed.jsonl"
    changed.write_text(work.archive.read_text().replace("w", "w1", 1))
    f32 = ["--dtype", "f32"]
    changes = [
        ("model", dict(model=work.make_model("other", 2))),
        ("method", dict(options=[*f32, "--method", "maskless"])),
        ("dtype", dict(options=["--dtype", "bf16"])),
        ("per", dict(options=[*f32, "--per-token"])),
        ("limit", dict(options=[*f32, "--limit", "8"])),
        ("eos", dict(options=[*f32, "--eos", "w99"])),
        ("shard", dict(shard_utts=work.utts_a_shard + 1)),
        ("inputs", dict(archives=[changed])),
    ]
    for word, arguments in changes:
        done = work.run(run, **arguments)
        expect(done.returncode == 2, f"{word}: exit {done.returncode}: {done.stderr}")
        expect(word in done.stderr, f"the difference ({word}) is not named: {done.stderr}")
        expect(contents(run) == before, f"{word}: the run directory was touched")
    work.finish(run, threads=3)
    done = work.run(run)
    expect(done.returncode == 0, f"a complete run: exit {done.returncode}: {done.stderr}")


def refused_io(work, run, done, what):
    expect(done.returncode == 6, f"{what}: exit {done.returncode}: {done.stderr}")
    expect(done.stderr.strip(), f"{what}: no message")
    work.check_marked(run)
    expect(not (run / "_SUCCESS").exists(), f"{what}: _SUCCESS")


def file_limit(args, folder):
    """A limit on the size of a file, below that of a shard."""
    work = Workload(args, folder, seconds=0.0, options=["--per-token", "--with-text"],
                    utts_a_shard=40)
    run = work.folder / "run"
    limit = min(map(len, work.files.values())) * 2 // 3
    expect(limit > 4096, f"shards of {limit * 3 // 2} bytes are too small for this test")
    done = subprocess.run(work.command(run), capture_output=True, text=True, timeout=600,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE,
                                                                (limit, limit)))
    refused_io(work, run, done, "a limit on file sizes")
    expect(not list(run.glob("*.done")), "a shard beyond the limit is marked done")
    work.finish(run)


def full_disk(args, folder):
    """A tiny file system that fills up in the middle, then grows. Mounting needs root."""
    work = Workload(args, folder, seconds=0.0, options=["--per-token", "--with-text"],
                    utts_a_shard=40)
    disk = work.folder / "disk"
    disk.mkdir()
    size = sum(map(len, work.files.values())) // 2 // 4096 * 4096
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)],
                             capture_output=True, text=True)
    if mounted.returncode != 0:
        print(f"SKIPPED: no tmpfs can be mounted here: {mounted.stderr.strip()}")
        return
    try:
        run = disk / "run"
        done = work.run(run)
        refused_io(work, run, done, "a full disk")
        expect(str(run) in done.stderr, f"no file named: {done.stderr}")
        subprocess.run(["mount", "-o", f"remount,size={size * 8}", str(disk)], check=True)
        work.finish(run)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def unwritable(args, folder):
    """A run directory that cannot be made: below a file, in no folder, in a read-only one."""
    work = Workload(args, folder, seconds=0.0)
    file = work.folder / "file"
    file.write_text("a file\n")
    sealed = work.folder / "sealed"
    sealed.mkdir()
    sealed.chmod(0o555)
    places = [file / "run", work.folder / "none" / "run", pathlib.Path("/proc/run")]
    if os.geteuid() != 0:  # root may write there all the same
        places.append(sealed / "run")
    for run in places:
        done = work.run(run)
        expect(done.returncode == 6, f"{run}: exit {done.returncode}: {done.stderr}")
        expect(str(run) in done.stderr, f"{run} is not named: {done.stderr}")
        expect(not run.exists(), f"{run} exists")
    expect(file.read_text() == "a file\n", "the file was changed")


def vanished_input(args, folder):
    """An archive that is gone at the start, gone on resuming, or cut short under way."""
    work = Workload(args, folder, seconds=2.0)
    gone = work.folder / "gone.jsonl"
    run = work.folder / "never"
    done = work.run(run, archives=[gone])
    expect(done.returncode == 6, f"no archive: exit {done.returncode}: {done.stderr}")
    expect(str(gone) in done.stderr, f"the archive is not named: {done.stderr}")
    expect(not (run / "run.json").exists(), "a run of nothing was begun")

    run = work.folder / "resumed"
    interrupted_run(work, run)
    before = contents(run)
    whole = work.archive.read_bytes()
    work.archive.unlink()
    refused_io(work, run, work.run(run), "the archive vanished before resuming")
    expect(contents(run) == before, "the run directory was touched")
    work.archive.write_bytes(whole)
    work.finish(run)

    run = work.folder / "cut"
    process = started(work, run)
    os.truncate(work.archive, len(whole) // 3)
    _, errors = process.communicate(timeout=600)
    work.check_marked(run)
    if process.returncode == 0:
        work.check_complete(run)  # it had read everything by then
    else:
        expect(process.returncode in (3, 6), f"cut short: exit {process.returncode}: {errors}")
        expect(str(work.archive) in errors, f"the archive is not named: {errors}")
    work.archive.write_bytes(whole)
    work.finish(run)


CASES = {f.__name__: f for f in (kill, two_processes, signals, identity, file_limit, full_disk,
                                 unwritable, vanished_input)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--program", required=True)
    parser.add_argument("--random-model", required=True)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dtype", choices=("auto", "f32", "bf16"), default="auto")
    args = parser.parse_args()
    return run_case(CASES[args.case], args, "chaos")


if __name__ == "__main__":
    sys.exit(main())
