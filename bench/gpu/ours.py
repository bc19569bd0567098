"""secondpass as a peer: `bench engine` for kernel time, `score --out` for end to end."""

import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

import device as machine
from work import FIXED

PLACES = ("build/portable/secondpass", "build/release/secondpass")


def find(root):
    """The program: $SP_PROGRAM, or the portable build, or the release build; None without any."""
    given = os.environ.get("SP_PROGRAM")
    for path in [pathlib.Path(given)] if given else [root / place for place in PLACES]:
        if path.is_file():
            return path.resolve()
    return None


def library_folders():
    """Where CUDA's libraries may lie: the toolkit's, then those that came with PyTorch."""
    folders = sorted(pathlib.Path("/usr/local").glob("cuda*/lib64"))
    spec = importlib.util.find_spec("nvidia")
    for place in spec.submodule_search_locations if spec else []:
        folders += sorted({f.parent for f in pathlib.Path(place).glob("**/lib*.so.*")})
    return folders


def environment(program):
    """The environment in which the program finds its libraries."""
    out = dict(os.environ)
    asked = subprocess.run(["ldd", str(program)], stdout=subprocess.PIPE, text=True, check=False)
    missing = re.findall(r"^\s*(\S+) => not found", asked.stdout, re.M)
    if missing:
        has = [str(f) for f in library_folders() if any((f / name).exists() for name in missing)]
        out["LD_LIBRARY_PATH"] = ":".join(has + [out.get("LD_LIBRARY_PATH", "")]).rstrip(":")
    return out


def products(program):
    """Every product of the shapes: the backend's algorithm beside the best for that number of rows.
    Nothing where the program was built without the table."""
    table = program.parent / "gpu_products"
    if not table.is_file():
        return None
    done = subprocess.run([str(table)], stdout=subprocess.PIPE, text=True, check=True,
                          env=environment(table))
    return json.loads(done.stdout)


class Ours:
    name = "secondpass"

    def __init__(self, program, folder, device_name, scratch):
        self.program, self.folder, self.device_name = program, folder, device_name
        self.scratch = pathlib.Path(scratch)
        self.env = environment(program)
        self.bench_help, self.score_help = self.help("bench engine"), self.help("score")
        self.start_seconds = None
        self.blocks, self.last = {}, {}

    # ---- calls ----

    def call(self, *arguments):
        command = [str(self.program), *map(str, arguments)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=self.env, check=False)
        if done.returncode:
            raise RuntimeError(f"exit {done.returncode}: {' '.join(command)}\n{done.stderr}")
        return done.stdout

    def help(self, command):
        return self.call("help", *command.split())

    def version(self):
        return self.call("--version").splitlines()[0].removeprefix("secondpass ")

    def options(self, help_text):
        """Those that this version of the program offers: equal hypotheses count as often as they
        come, since no peer scores them once."""
        out = ["--model", self.folder, "--dtype", "bf16"]
        for option, value in (("--device", self.device_name), ("--without", "dedupe")):
            if f"{option} " in help_text:
                out += [option, value]
        return out

    def engine(self, seconds, *workload):
        return json.loads(self.call(
            "bench", "engine", *self.options(self.bench_help), "--json", "--scoring-only",
            "--seconds", max(1, round(seconds)), *workload))

    def score(self, path, lists):
        out = tempfile.mkdtemp(dir=self.scratch)
        try:
            began = time.perf_counter()
            text = self.call("score", *self.options(self.score_help), "--json", "--progress",
                             "none", "--limit", lists, "--out", f"{out}/run", path)
            return time.perf_counter() - began, json.loads(text)
        finally:
            shutil.rmtree(out, ignore_errors=True)

    # ---- what a peer does ----

    def prepare(self, work, repeats, seconds):
        if self.device_name != "cpu" and "--device " not in self.bench_help:
            raise SystemExit("gpu.sh: this program's `bench engine` has no --device")
        lists = work.lists * max(1, repeats // 2)  # `bench engine` runs a block four times at least
        self.blocks[work.name] = ["--length", FIXED, "--hyps", 10 * lists]
        if work.name != str(FIXED):
            self.blocks[work.name] = ["--limit", lists, work.archive(lists)]
        self.start_seconds = min(self.score(work.archive(1), 1)[0] for _ in range(3))

    def works(self, work):
        return work.name in self.blocks

    def kernel(self, work, seconds):
        got = self.engine(seconds, *self.blocks[work.name])
        self.last[work.name] = got
        return {"copies_per_s": got["copies_per_s"], "copies": got["sequences"] * got["rounds"],
                "seconds": got["seconds"] * got["rounds"], "flops_per_s": got["flops_per_s"],
                "tokens_per_s": got["tokens_per_s"], "batch_tokens": got.get("batch_tokens")}

    def end_to_end(self, work, lists, out):
        """Seconds of the whole process; copies a second without its start, as the peers' are."""
        wall, summary = self.score(work.archive(lists), lists)
        counts = summary["counts"]
        spent = max(wall - self.start_seconds, 1e-9)
        return {"copies_per_s": counts["copies"] / spent, "copies": counts["copies"],
                "seconds": spent, "wall_seconds": wall,
                "copies_per_s_with_start": counts["copies"] / wall,
                "flops_per_s": counts["flops"] / spent, "program_seconds": summary["seconds"],
                "computed": counts["sequences"]}

    def idle(self, work, lists):
        """Share of the time in which the GPU had nothing to do, over one long run."""
        work.archive(lists)
        with machine.Utilization() as samples:
            began = time.time()
            wall, _ = self.score(work.path, lists)
        return {**samples.idle(began + self.start_seconds + 1, began + wall - 0.5),
                "wall_seconds": wall}

    def logp(self, tokens, work, path):
        """Log-probabilities of the archive's tokens, `null` as NaN."""
        text = self.call("score", *self.options(self.score_help), "--per-token", "--progress",
                         "none", "--out", "-", path)
        hyps = [hyp for line in text.splitlines() for hyp in json.loads(line)["hyps"]]
        values = [value for hyp in hyps for value in hyp.get("logp") or []]
        return [float("nan") if value is None else value for value in values]

    def masks(self, work):
        """What lookahead masks cost, on the work that was measured last."""
        return json.loads(self.call("bench", "masks", *self.options(self.bench_help), "--json",
                                    "--seconds", 5, *self.blocks[work.name]))

    def facts(self):
        return {"what": str(self.program), "start_seconds": self.start_seconds,
                "device_type": next((g["device_type"] for g in self.last.values()), None)}

    def close(self):
        pass
