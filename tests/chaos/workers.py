"""Several workers on one run directory: killed, paused, stopped, on other hosts, with wrong clocks,
over a directory that shows changes late. Whatever happens, the bytes are those of a lone run.

usage: workers.py CASE --program secondpass --model DIR --sample ARCHIVE --libraries DIR [--utts N]
                  [--kills N] [--seed N] [--parts 1|4] [--skew] [--hosts] [--delay SECONDS]
The last line is of `kill` and `paused` alone. Needs python3; other hosts need the right to make namespaces.
Each CASE is a function below and a ctest entry."""

import argparse
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

from workload import Failure, RunChecks, expect, run_case, shard_files

WORKERS = 4
UTTS_A_SHARD = 5
# "0" in front of exec: a name of its own for the host, seen by nobody else
AS_HOST = ["unshare", "--uts", "--pid", "--fork", "--kill-child", "sh", "-c",
           'echo "$0" >/proc/sys/kernel/hostname && exec "$@"']


class Sample(RunChecks):
    """The first utterances of the embedded sample, in shards so small that every moment of a run
    is between two of them for some worker."""

    def __init__(self, args, folder):
        self.args, self.program, self.folder = args, args.program, pathlib.Path(folder)
        self.reference = self.folder / "reference"
        began = time.monotonic()
        done = self.run(self.reference)
        self.seconds = time.monotonic() - began
        expect(done.returncode == 0, f"the lone run: exit {done.returncode}: {done.stderr}")
        self.files = shard_files(self.reference)
        self.runs = 0

    def command(self, run, *options):
        return [self.program, "score", "--model", self.args.model, "--out", str(run), "--limit",
                str(self.args.utts), "--shard-utts", str(UTTS_A_SHARD), "--threads", "1", *options,
                self.args.sample]

    def run(self, run, *options):
        """One process, to its end."""
        return subprocess.run(self.command(run, *options), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=600)

    def new_run(self):
        self.runs += 1
        return self.folder / f"run-{self.runs}"


class Worker:
    """A process with a part of a run; `host` gives it a host of its own."""

    def __init__(self, sample, run, part, *options, lease=60.0, host=None, env=None):
        self.part, self.host, self.run = part, host, run
        self.began, self.output = time.monotonic(), None
        command = sample.command(run, "--lease", str(lease), "--json", *options)
        if part:
            command[2:2] = ["--part", part]
        if host:
            command = [*AS_HOST, host, *command]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, **(env or {})})

    def alive(self):
        return self.process.poll() is None

    def send(self, number):
        """To the program itself, which on another host is the child of what made the host."""
        pid = self.process.pid
        if self.host:
            children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            pid = int(children[0])
        os.kill(pid, number)

    def kill(self):
        """True when it was alive until then."""
        self.process.kill()
        self.output, self.errors = self.process.communicate()
        return self.process.returncode == -signal.SIGKILL

    def end(self, code=0, seconds=600):
        """Waits for the end; the summary."""
        try:
            if self.output is None:
                self.output, self.errors = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"part {self.part}: not at its end after {seconds} s: {self.errors}")
        got = self.process.returncode
        expect(got == code, f"part {self.part}: exit {got} instead of {code}: {self.errors}")
        return json.loads(self.output) if self.output.strip() else {}


class Watch:
    """A shard that is published stays the file that it is."""

    def __init__(self, run):
        self.run, self.seen = run, {}

    def look(self):
        for path in self.run.glob("scores-*.jsonl.zst"):
            info = path.stat()
            first = self.seen.setdefault(path.name, (info.st_ino, info.st_mtime_ns))
            expect(first == (info.st_ino, info.st_mtime_ns), f"{path.name} was published twice")


def wait_for(condition, what, seconds=120.0):
    limit = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < limit, f"waited in vain: {what}")
        time.sleep(0.005)


def hosts_are_possible():
    done = subprocess.run([*AS_HOST, "host-0", "true"], capture_output=True, text=True)
    if done.returncode != 0:
        print(f"SKIPPED: no namespaces can be made here: {done.stderr.strip()}")
    return done.returncode == 0


# ---- what is claimed, as a bystander reads it ----

def claims(run):
    """Shard -> (generation, worker) of the newest claim on it."""
    newest = {}
    for path in (run / ".claims").glob("[0-9]*.[0-9]*"):
        shard, _, generation = path.name.partition(".")
        if not (shard.isdigit() and generation.isdigit()):
            continue
        try:
            claim = (int(generation), path.read_text().strip())
        except FileNotFoundError:
            continue
        newest[int(shard)] = max(claim, newest.get(int(shard), (0, "")))
    return newest


def at_work(sample, run):
    """A shard that is claimed and not yet published, with its claim; some other shard is done."""
    done = {int(path.name.split("-")[1]) for path in run.glob("scores-*.done")}
    if not done or len(done) == len(sample.files):
        return None
    return next(((shard, claim) for shard, claim in claims(run).items() if shard not in done), None)


def is_done(run, shard):
    return any(run.glob(f"scores-{shard:05d}-*.done"))


def begun(sample, run, worker):
    """Once the worker is in the middle of a shard: that shard and its claim."""
    found = []

    def look():
        expect(worker.alive(), "the worker ended too early to disturb")
        found[:] = [at_work(sample, run)]
        return found[0] is not None

    wait_for(look, "a worker in the middle of a shard")
    return found[0]


# ---- cases ----

class Disturbed:
    """How the workers of `kill` and `paused` see the world."""

    def __init__(self, args, folder):
        self.args, self.folder = args, pathlib.Path(folder)
        self.locks = self.folder / "locks"
        self.locks.mkdir()
        self.report = self.folder / "report"
        self.libraries = [name for name, wanted in (("skew", args.skew), ("hosts", args.hosts),
                                                    ("delayed", args.delay > 0)) if wanted]
        # a claim must outlive what is seen late; where flock tells of the dead, it hardly matters
        self.lease = 2.0 + 2.0 * args.delay

    def env(self, run, rng):
        """Clocks that are half an hour wrong, on machines that were booted at different times."""
        folder = pathlib.Path(self.args.libraries)
        env = {"LD_PRELOAD": " ".join(str(folder / f"{name}.so") for name in self.libraries)}
        if self.args.skew:
            env["SP_SKEW_REALTIME"] = str(rng.uniform(-1800.0, 1800.0))
            env["SP_SKEW_MONOTONIC"] = str(rng.uniform(0.0, 1e6))
        if self.args.hosts:
            env["SP_HOSTS_DIR"], env["SP_HOSTS_LOCKS"] = str(run), str(self.locks)
        if self.args.delay > 0:
            env["SP_DELAYED_DIR"], env["SP_DELAYED_REPORT"] = str(run), str(self.report)
            env["SP_DELAYED_SECONDS"] = str(self.args.delay)
            if rng.random() < 0.5:
                env["SP_DELAYED_REFRESH"] = "1"
        return env

    def worker(self, sample, run, slot, rng):
        part = f"{slot}/{WORKERS}" if self.args.parts == WORKERS else "0/1"
        host = f"host-{slot}" if self.args.hosts else None
        return Worker(sample, run, part, lease=self.lease, host=host, env=self.env(run, rng))


def end_all(sample, crew, watch):
    """Without further disturbance: every worker comes to its end, and the run is whole."""
    while any(worker.alive() for worker in crew):
        watch.look()
        time.sleep(0.05)
    summaries = [worker.end() for worker in crew]
    watch.look()
    return summaries


def kill(args, folder):
    """SIGKILL to random workers, each of which is at work then and is started again; runs follow
    each other until there were N kills."""
    if args.hosts and not hosts_are_possible():
        return
    sample, world, rng = Sample(args, folder), Disturbed(args, folder), random.Random(args.seed)
    kills = finished = 0
    while kills < args.kills:
        run = sample.new_run()
        watch = Watch(run)
        crew = [world.worker(sample, run, slot, rng) for slot in range(WORKERS)]
        while kills < args.kills and any(worker.alive() for worker in crew):
            time.sleep(rng.uniform(0.0, sample.seconds / 10))
            watch.look()
            slot = rng.randrange(WORKERS)
            if not crew[slot].alive():
                continue
            if crew[slot].kill():
                kills += 1
                sample.check_marked(run)
                crew[slot] = world.worker(sample, run, slot, rng)
        end_all(sample, crew, watch)
        finish_late(sample, world, run)
        sample.check_complete(run)
        finished += 1
        expect(finished <= args.kills, "runs end before anybody can be killed")
    if args.delay > 0:
        late = world.report.stat().st_size if world.report.exists() else 0
        expect(late > 0, "nothing was ever seen late: the library does not reach the program")
        print(f"{late} names were not as they seemed")
    print(f"{kills} kills of working workers; {finished} runs came out whole")


def finish_late(sample, world, run):
    """Where changes are seen late, the last workers may part without knowing that all is done."""
    if world.args.delay > 0 and not (run / "_SUCCESS").exists():
        done = sample.run(run, "--part", "0/1", "--lease", str(world.lease))
        expect(done.returncode == 0, f"finishing: exit {done.returncode}: {done.stderr}")


def paused(args, folder):
    """A worker that sleeps through its lease: it wakes while another works on, or after the run
    was completed; either way it loses quietly."""
    if args.hosts and not hosts_are_possible():
        return
    args.parts = 1
    sample, world, rng = Sample(args, folder), Disturbed(args, folder), random.Random(args.seed)
    for wakes_late in (False, True):
        run = sample.new_run()
        watch = Watch(run)
        sleeper = world.worker(sample, run, 0, rng)
        shard, (generation, name) = begun(sample, run, sleeper)
        sleeper.send(signal.SIGSTOP)
        other = world.worker(sample, run, 1, rng)
        if wakes_late:
            wait_for(lambda: not other.alive(), "the run to be completed by the other worker")
        else:
            wait_for(lambda: claims(run).get(shard, (0, ""))[1] not in ("", name) or
                     not other.alive(), "the claim to be taken over")
        watch.look()
        sleeper.send(signal.SIGCONT)
        taken = end_all(sample, [sleeper, other], watch)[1]
        expect(taken.get("shards_taken_over", 1) > 0, f"nothing was taken over: {taken}")
        finish_late(sample, world, run)
        sample.check_complete(run)


def taken_over(sample, host, lease):
    """Seconds until a worker on `host` had published the shard that a worker killed on host-a was
    in the middle of; None where the kill came too late for that."""
    run = sample.new_run()
    first = Worker(sample, run, "0/1", lease=lease, host="host-a")
    shard, _ = begun(sample, run, first)
    first.kill()
    if is_done(run, shard):
        return None
    second = Worker(sample, run, "0/1", lease=lease, host=host)
    wait_for(lambda: is_done(run, shard), "the dead worker's shard", 300.0)
    waited = time.monotonic() - second.began
    second.end()
    sample.check_complete(run)
    return waited


def other_host(args, folder):
    """A claim of a dead worker is free at once on its own host, where flock tells; elsewhere only
    when its beat has been missing for a lease."""
    if not hosts_are_possible():
        return
    sample = Sample(args, folder)
    for host, lease in (("host-a", 600.0), ("host-b", 8.0)):
        tries = (taken_over(sample, host, lease) for _ in range(9))
        waited = next((seconds for seconds in tries if seconds is not None), None)
        expect(waited is not None, "no kill met a worker in the middle of a shard")
        if host == "host-b":
            expect(waited >= lease, f"taken over after {waited:.1f} s of a lease of {lease:.0f}")
        else:
            expect(waited < lease, f"a free lock was not believed for {waited:.1f} s")


def check_threads(worker):
    """Signals are the first thread's: in another they would cut short what it writes."""
    pid = worker.process.pid
    wanted = sum(1 << (number - 1) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1))
    tasks = pathlib.Path(f"/proc/{pid}/task")
    threads = [path for path in tasks.iterdir() if path.name != str(pid)]
    expect(len(threads) >= 2, "no threads: one scores, one raises the beat")
    for path in threads:
        facts = dict(line.split(":\t", 1) for line in (path / "status").read_text().splitlines())
        expect(int(facts["SigBlk"], 16) & wanted == wanted, f"a thread takes signals: {facts}")


def stopped(args, folder):
    """A signal with no grace drops the shard under work, with grace it is finished; the worker says
    130 either way, nothing stays behind, and others go on."""
    sample = Sample(args, folder)
    for number, grace in ((signal.SIGUSR1, 0), (signal.SIGTERM, 0), (signal.SIGUSR1, 300)):
        run = sample.new_run()
        worker = Worker(sample, run, "0/1", "--grace", str(grace))
        begun(sample, run, worker)
        held = [shard for shard in claims(run) if not is_done(run, shard)]
        check_threads(worker)
        worker.send(number)
        worker.end(130)
        what = f"{number.name} with a grace of {grace} s"
        expect(worker.errors.strip(), f"{what}: no message")
        expect(not (run / "_SUCCESS").exists(), f"{what}: _SUCCESS")
        left = [path.name for path in run.rglob("*") if "tmp" in path.name]
        expect(not left, f"{what}: temporary files stay behind: {left}")
        expect(not claims(run), f"{what}: claims stay behind: {claims(run)}")
        if grace > 0:
            expect(not held or any(is_done(run, shard) for shard in held),
                   f"{what}: of {held} none was finished")
        Worker(sample, run, "0/1").end()
        sample.check_complete(run)


def late_client(args, run, **settings):
    """The environment of a worker that sees a run as a network file system may show it."""
    library = pathlib.Path(args.libraries) / "delayed.so"
    return {"LD_PRELOAD": str(library), "SP_DELAYED_DIR": str(run),
            **{f"SP_DELAYED_{name.upper()}": str(value) for name, value in settings.items()}}


def half_done(sample, run):
    """A run that its one worker left in the middle of."""
    worker = Worker(sample, run, "0/1")
    begun(sample, run, worker)
    worker.send(signal.SIGTERM)
    worker.end(130)


def remembered(args, folder):
    """Workers that remember names as absent, from before the run was made, join it all the same, and
    nothing that is published is made again."""
    sample = Sample(args, folder)
    for suffixes, refresh in ((("run.json",), {}), (("run.json", "plan.jsonl.zst"), {"refresh": 1}),
                              ((".jsonl.zst",), {}), ((".done",), {"refresh": 1})):
        run = sample.new_run()
        watch = Watch(run)
        half_done(sample, run)
        watch.look()
        names = [path.name for path in run.iterdir() if path.name.endswith(suffixes)]
        made = (run / "run.json").stat().st_ino
        env = late_client(args, run, seconds=2, absent=":".join(names), **refresh)
        Worker(sample, run, "0/1", lease=2.0, env=env).end()
        watch.look()
        expect((run / "run.json").stat().st_ino == made, f"{suffixes}: run.json was made again")
        sample.check_complete(run)


def is_stopped(worker):
    facts = pathlib.Path(f"/proc/{worker.process.pid}/stat").read_text()
    return facts.rpartition(")")[2].split()[0] == "T"


def asleep(args, folder):
    """A worker is stopped before a file that it wrote is on the disk. When it wakes, another has
    completed the run and swept that file, which then is stale: it loses quietly."""
    sample = Sample(args, folder)
    for name in ("plan.jsonl.zst.tmp.", "run.json.tmp.", ".tmp-scores-", "_SUCCESS.tmp."):
        run = sample.new_run()
        watch = Watch(run)
        sleeper = Worker(sample, run, "0/1", lease=1.0,
                         env=late_client(args, run, seconds=0, stop=name))
        wait_for(lambda: is_stopped(sleeper), f"the sync of {name}")
        watch.look()
        Worker(sample, run, "0/1", lease=1.0).end()
        watch.look()
        made = {path.name: path.stat().st_ino for path in run.iterdir()}
        sleeper.send(signal.SIGCONT)
        sleeper.end()
        expect({path.name: path.stat().st_ino for path in run.iterdir()} == made,
               f"{name}: files were made again")
        sample.check_complete(run)


def overtaken(args, folder):
    """A worker sleeps while it makes the run, and another goes on: run.json and the plan are those of
    the first run.json, whoever wakes late; who was told otherwise is refused, and harms nobody."""
    sample = Sample(args, folder)
    same, other = str(UTTS_A_SHARD), str(UTTS_A_SHARD + 2)
    for name, of_sleeper, of_second in (("run.json.tmp.", same, same), ("run.json.tmp.", other, same),
                                        ("plan.jsonl.zst.tmp.", same, same),
                                        ("plan.jsonl.zst.tmp.", same, other)):
        what = f"{name} with {of_sleeper} and {of_second} utterances a shard"
        run = sample.new_run()
        sleeper = Worker(sample, run, "0/2", "--shard-utts", of_sleeper, lease=1.0,
                         env=late_client(args, run, seconds=0, stop=name))
        wait_for(lambda: is_stopped(sleeper), f"the sync of {name}")
        second = Worker(sample, run, "0/2", "--shard-utts", of_second, "--own-share", lease=1.0)
        second.end(0 if of_second == same else 2)
        made = {path: path.stat().st_ino for path in (run / "run.json", run / "plan.jsonl.zst")
                if path.exists()}
        expect(made, f"{what}: nobody has made the run")
        sleeper.send(signal.SIGCONT)
        sleeper.end(0 if of_sleeper == same else 2)
        expect({path: path.stat().st_ino for path in made} == made, f"{what}: made again")
        Worker(sample, run, "1/2", lease=1.0).end()
        sample.check_complete(run)


def mixed(args, folder):
    """Parts of different counts at the same time, named by options and by the environments of the
    launchers, then what is left."""
    sample = Sample(args, folder)
    run = sample.new_run()
    watch = Watch(run)
    slurm = {"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "5",
             "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_MAX": "5", "SLURM_ARRAY_TASK_STEP": "1",
             "SLURM_ARRAY_TASK_COUNT": "3"}
    pod = {"JOB_COMPLETION_INDEX": "0", "JOB_COMPLETIONS": "2"}
    rank = {"RANK": "1", "WORLD_SIZE": "5", "LOCAL_RANK": "1"}
    crew = [Worker(sample, run, None, env=slurm), Worker(sample, run, None, env=pod),
            Worker(sample, run, None, env=rank), Worker(sample, run, "1/2")]
    end_all(sample, crew, watch)
    sample.check_marked(run)
    crew = [Worker(sample, run, f"{part}/3") for part in range(3)]
    end_all(sample, crew, watch)
    sample.check_complete(run)
    summary = Worker(sample, run, "2/7").end()
    expect(summary.get("already_complete", True), f"a whole run was worked on again: {summary}")


CASES = {f.__name__: f for f in (kill, paused, other_host, stopped, remembered, asleep, overtaken, mixed)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("case", choices=CASES)
    for name in ("program", "model", "sample", "libraries"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--utts", type=int, default=200)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--parts", type=int, choices=(1, WORKERS), default=WORKERS)
    parser.add_argument("--skew", action="store_true")
    parser.add_argument("--hosts", action="store_true")
    parser.add_argument("--delay", type=float, default=0.0)
    args = parser.parse_args()
    return run_case(CASES[args.case], args, "workers")


if __name__ == "__main__":
    sys.exit(main())
