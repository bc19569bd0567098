"""What workers on the processors of this machine make of a run: ranks of mpirun and parts, one processor
each, beside a lone process on one processor and as many lone processes that have nothing in common.

The last are what the machine itself gives: processors share caches, memory and clock. Efficiency is
T(alone) / (k T), k the processors at work; `of the machine` has T of the unrelated processes for T(alone).
Ways are run in turn, round after round; times are medians, of the whole process and of scoring alone.
Every run's shards are compared with the lone run's."""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

RANK = "${OMPI_COMM_WORLD_LOCAL_RANK:-${MPI_LOCALRANKID:-${PMI_RANK:-0}}}"
MPI = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
       "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_hwloc_base_binding_policy": "none",
       "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
       "PRTE_MCA_hwloc_default_binding_policy": "none"}


class Bench:
    def __init__(self, args):
        self.args, self.cpus = args, sorted(os.sched_getaffinity(0))
        self.out = pathlib.Path(args.out)
        self.out.mkdir(parents=True, exist_ok=True)

    def score(self, run, *more):
        args = self.args
        return [args.program, "score", "--model", args.model, "--out", str(run), "--json",
                "--progress", "none", "--limit", str(args.limit), "--shard-utts",
                str(args.shard_utts), *more, *args.lists]

    def pinned(self, worker, command):
        return ["taskset", "-c", str(self.cpus[worker % len(self.cpus)]), *command]

    def ranks(self, n, run):
        """One job; the shell that each rank begins as says which processor is its own."""
        pin = f'cpus=({" ".join(map(str, self.cpus))}); exec taskset -c ' \
              f'${{cpus[$(({RANK} % {len(self.cpus)}))]}} "$@"'
        return [[self.args.mpirun, "-n", str(n), "bash", "-c", pin, "rank", *self.score(run)]]

    def parts(self, n, run):
        return [self.pinned(i, self.score(run, "--part", f"{i}/{n}")) for i in range(n)]

    def alone(self, n, run):
        """n processes, each with a run of its own."""
        return [self.pinned(i, self.score(run / str(i), "--part", "none")) for i in range(n)]

    def measure(self, commands):
        """Seconds until all have ended, and of scoring: the slowest that says so."""
        began = time.monotonic()
        work = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                 env={**os.environ, **MPI}) for command in commands]
        said = [process.communicate() for process in work]
        seconds = time.monotonic() - began
        for process, (_, messages) in zip(work, said):
            if process.returncode:
                sys.exit(f"{' '.join(process.args)}: exit {process.returncode}: {messages}")
        return seconds, max(json.loads(text)["seconds"]["score"] for text, _ in said if text)


def has_mpi(program):
    env = subprocess.run([program, "env", "--json"], capture_output=True, text=True, check=True)
    return bool(json.loads(env.stdout)["build"]["mpi"])


def shards(run):
    return {path.name: path.read_bytes() for path in sorted(run.glob("*.jsonl.zst"))
            if path.name != "plan.jsonl.zst"}


def table(ways, times, cpus):
    alone = times["alone", 1]
    print("| way | workers | seconds | of scoring | efficiency | of the machine |")
    print("|---|---|---|---|---|---|")
    rows = []
    for way, n in ways:
        whole, score = (statistics.median(column) for column in zip(*times[way, n]))
        first = statistics.median(one for one, _ in alone)
        busy = min(n, cpus)
        together = statistics.median(one for one, _ in times["alone", busy])
        work = n if way == "alone" else 1  # runs of the archive
        row = {"way": way, "workers": n, "seconds": whole, "score_seconds": score,
               "efficiency": work * first / (busy * whole),
               "of_machine": work * together / (busy * whole)}
        rows.append(row)
        print(f"| {way} | {n} | {whole:.2f} | {score:.2f} | {100 * row['efficiency']:.1f} % | "
              f"{100 * row['of_machine']:.1f} % |")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("program", "model", "out"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--mpirun", default=shutil.which("mpirun"))
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--shard-utts", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", default="1,2,4")
    parser.add_argument("lists", nargs="+")
    args = parser.parse_args()
    bench, numbers = Bench(args), [int(n) for n in args.workers.split(",")]
    ways = [("alone", n) for n in numbers if n <= len(bench.cpus)]
    ways += [("parts", n) for n in numbers]
    if args.mpirun and has_mpi(args.program):
        ways += [("ranks", n) for n in numbers]
    else:
        print("no mpirun here, or a program without MPI: parts alone", file=sys.stderr)
    times, bytes_of_one = {way: [] for way in ways}, None
    for _ in range(args.rounds):
        for way, n in ways:
            run = bench.out / f"{way}-{n}"
            shutil.rmtree(run, ignore_errors=True)
            if way == "alone":
                run.mkdir()
            times[way, n].append(bench.measure(getattr(bench, way)(n, run)))
            made = shards(run / "0" if way == "alone" else run)
            bytes_of_one = bytes_of_one or made
            if not made or made != bytes_of_one:
                sys.exit(f"{run}: other shards than those of a lone run")
    rows = table(ways, times, len(bench.cpus))
    result = {"cpus": len(bench.cpus), "limit": args.limit, "shard_utts": args.shard_utts,
              "rounds": args.rounds, "rows": rows}
    (bench.out / "results.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
