"""The batch scripts of docker/slurm under a real Slurm: jobs are requeued and preempted, and the run
directory comes out with the bytes of a lone run.

usage: slurm.py array|mpi|step|turns --program secondpass --random-model random_model --scripts DIR
Needs root, and the packages of Slurm; says SKIPPED where they are missing. `turns` needs none: it
looks at the scripts alone, with stand-ins for what they start."""

import argparse
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import tempfile
import time

import cluster

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "chaos"))
from workload import Failure, Workload, expect  # noqa: E402

TASKS = 4


def wait(condition, what, seconds=300.0):
    limit = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < limit, f"waited in vain: {what}")
        time.sleep(0.2)


class Batch:
    """A job of one of the scripts over a run to disturb, of so many seconds of a processor."""

    def __init__(self, args, slurm, seconds, script, *options):
        self.slurm, self.folder = slurm, slurm.folder / "work"
        self.work = Workload(args, self.folder, seconds)
        self.run = self.folder / "run"
        command = self.work.command(self.run)
        settings = {"SECONDPASS": args.program, "MODEL": str(self.work.model),
                    "ARCHIVE": str(self.work.archive), "RUN": str(self.run)}
        score = command[command.index("--method"):-1]
        del score[score.index("--out"):score.index("--out") + 2]
        self.job = slurm.submit("--chdir", self.folder, "--cpus-per-task=1", *options,
                                pathlib.Path(args.scripts) / script, *score, env=settings)

    def tasks(self):
        return self.slurm.tasks(self.job)

    def running(self):
        return [task for task, facts in self.tasks().items() if facts["JobState"] == "RUNNING"]

    def restarts(self, task):
        return int(self.tasks()[task]["Restarts"])

    def id_of(self, task):
        return self.tasks()[task]["JobId"]

    def has_begun(self, task):
        log = self.folder / f"secondpass-{self.job}-{task}.log"
        return log.exists() and "this is part" in log.read_text()

    def some_done(self):
        return any(self.run.glob("*.done"))

    def logs(self):
        return "\n".join(f"== {path.name}\n{path.read_text()}"
                         for path in sorted(self.folder.glob("secondpass-*.log")))

    def finish(self):
        """All tasks end well, and the run is whole."""
        ended = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
        wait(lambda: all(facts["JobState"] in ended for facts in self.tasks().values()),
             "the end of all tasks", 600.0)
        states = {task: (facts["JobState"], facts["ExitCode"])
                  for task, facts in self.tasks().items()}
        expect(all(state == ("COMPLETED", "0:0") for state in states.values()), f"ended: {states}")
        self.work.check_complete(self.run)


def command(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60)
    expect(done.returncode == 0, f"{' '.join(map(str, words))}: {done.stderr}")


def array(args, slurm):
    """Tasks beside each other and after each other; one is requeued by hand, the one whose number
    is the array's gets the signal of the time limit, then others make way for a more urgent job.
    Slurm takes some 12 seconds for all this, in which the tasks that go on must not end."""
    batch = Batch(args, slurm, 60.0, "array.sbatch", f"--array=0-{TASKS - 1}")
    try:
        wait(lambda: len(batch.running()) == cluster.CPUS and batch.some_done(), "tasks at work")
        requeued = batch.running()[0]
        command("scontrol", "requeue", batch.id_of(requeued))
        signalled = TASKS - 1
        wait(lambda: signalled in batch.running() and batch.has_begun(signalled), "the last task")
        expect(batch.id_of(signalled) == batch.job, "the last task has a number of its own")
        command("scancel", "--signal=USR1", "--batch", f"{batch.job}_{signalled}")
        wait(lambda: batch.restarts(signalled) == 1, "the task to ask for another turn")
        time.sleep(2.0)
        restarts = {task: batch.restarts(task) for task in batch.tasks()}
        expect(sum(restarts.values()) == 2, f"more than two tasks start again: {restarts}")
        urgent = slurm.submit("--partition=urgent", f"--ntasks={cluster.CPUS}", "--chdir",
                              batch.folder, "--output=urgent.log", "--wrap", "sleep 1")
        wait(lambda: batch.restarts(requeued) == 1 and batch.restarts(signalled) == 1,
             "two tasks that start again")
        wait(lambda: slurm.tasks(urgent)[0]["JobState"] == "COMPLETED", "the urgent job")
        preempted = sum(batch.restarts(task) for task in batch.tasks()) - 2
        expect(preempted > 0, "no task made way for the urgent job")
        expect(not (batch.run / "_SUCCESS").exists(), "the run was over before it was disturbed")
        batch.finish()
    except Failure as failure:
        raise Failure(f"{failure}\n{batch.logs()}\n{slurm.logs()}")
    print(f"{TASKS} tasks, one requeued, one signalled, {preempted} preempted")


def mpi(args, slurm):
    """Ranks of one job: it gets the signal of the time limit and asks for another turn, is requeued
    by hand, and makes way for a more urgent job."""
    batch = Batch(args, slurm, 40.0, "mpi.sbatch", f"--ntasks-per-node={cluster.CPUS}")
    done = 0

    def turn(number):
        """Once it is at work in this turn."""
        wait(lambda: batch.running() and batch.restarts(0) == number and
             len(list(batch.run.glob("*.done"))) > done, f"ranks at work in turn {number}")
        return len(list(batch.run.glob("*.done")))

    try:
        done = turn(0)
        command("scancel", "--signal=USR1", "--batch", batch.job)
        done = turn(1)
        command("scontrol", "requeue", batch.job)
        done = turn(2)
        urgent = slurm.submit("--partition=urgent", f"--ntasks={cluster.CPUS}", "--chdir",
                              batch.folder, "--output=urgent.log", "--wrap", "sleep 1")
        wait(lambda: batch.restarts(0) == 3, "the job to make way for the urgent one")
        expect(not (batch.run / "_SUCCESS").exists(), "the run was over before it was disturbed")
        wait(lambda: slurm.tasks(urgent)[0]["JobState"] == "COMPLETED", "the urgent job")
        batch.finish()
    except Failure as failure:
        raise Failure(f"{failure}\n{batch.logs()}\n{slurm.logs()}")
    print(f"{cluster.CPUS} ranks, signalled, requeued and preempted")


PROGRAM = """#!/bin/bash
trap 'echo USR1; exit 130' USR1
trap 'echo TERM; exit 130' TERM
echo "$SRUN_CPUS_PER_TASK $*" >words
touch ready
while true; do sleep 0.05; done
"""


def catches(pid, number):
    """Whether a process has a handler for a signal."""
    facts = pathlib.Path(f"/proc/{pid}/status").read_text()
    caught = int(facts.partition("SigCgt:")[2].split()[0], 16)
    return caught >> (number - 1) & 1


def run_script(script, number, restarts, folder):
    """What a script prints, and its exit code, when it gets a signal in its turn `restarts` of 3."""
    for name, text in (("scontrol", '#!/bin/bash\necho "scontrol $*"\n'), ("program", PROGRAM)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    ready = folder / "ready"
    ready.unlink(missing_ok=True)
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "SECONDPASS": "program",
           "LAUNCH": "env", "SLURM_JOB_ID": "8", "SLURM_ARRAY_JOB_ID": "8",
           "SLURM_ARRAY_TASK_ID": "5", "SLURM_RESTART_COUNT": str(restarts), "RESTARTS": "3",
           "SLURM_CPUS_PER_TASK": "6"}
    process = subprocess.Popen(["bash", str(script)], cwd=folder, env=env, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait(ready.exists, "the program", 60.0)
    wait(lambda: catches(process.pid, number), "the script's trap", 60.0)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    return output, process.returncode


def turns(args):
    """Which signal is passed on, when a job asks for another turn, and what a task has of the node."""
    for name, job, at_term in (("array.sbatch", "8_5", "TERM"), ("mpi.sbatch", "8", "USR1")):
        for number, restarts, passed, again in ((signal.SIGUSR1, 2, "USR1", True),
                                                (signal.SIGUSR1, 3, "USR1", False),
                                                (signal.SIGTERM, 0, at_term, False)):
            with tempfile.TemporaryDirectory(prefix="sp-turns-") as folder:
                output, code = run_script(pathlib.Path(args.scripts).resolve() / name, number,
                                          restarts, pathlib.Path(folder))
                words = (pathlib.Path(folder) / "words").read_text()
            what = f"{name}, {number.name}, {restarts} restarts: exit {code}:\n{output}"
            expect(code == 130 and output.startswith(passed), what)
            expect((f"scontrol requeue {job}\n" in output) == again, what)
            expect(("RESTARTS" in output) == (restarts == 3), what)
            expect("--threads 6 " in words, words)
            expect(words.startswith("6 ") == (name == "mpi.sbatch"), words)
    print("signals, turns and processors of both scripts are right")


def step(args, slurm):
    """srun without MPI: each task is a part; the batch script around it is none."""
    folder = slurm.folder / "work"
    work = Workload(args, folder, seconds=3.0)
    run, alone = folder / "run", folder / "alone"
    script = folder / "step.sh"
    script.write_text("#!/bin/sh -e\nenv | grep ^SLURM || true\n"
                      f"srun --mpi=none --ntasks={cluster.CPUS} {shlex.join(work.command(run))}\n"
                      f"exec {shlex.join(work.command(alone))}\n", encoding="utf-8")
    job = slurm.submit("--chdir", folder, f"--ntasks={cluster.CPUS}", "--output=step.log", script)
    ended = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
    wait(lambda: slurm.tasks(job)[0]["JobState"] in ended, "the end of the job")
    log = (folder / "step.log").read_text()
    try:
        expect(slurm.tasks(job)[0]["JobState"] == "COMPLETED", "the job failed")
        for task in range(cluster.CPUS):
            expect(log.count(f"this is part {task}/{cluster.CPUS}, by SLURM_PROCID") == 1,
                   f"no part {task}")
        expect(log.count("this is part") == cluster.CPUS, "the batch script is a part")
        for whole in (run, alone):
            work.check_complete(whole)
    except Failure as failure:
        raise Failure(f"{failure}\n{log}\n{slurm.logs()}")
    print(f"{cluster.CPUS} tasks of a step, and a batch script")


CASES = {f.__name__: f for f in (array, mpi, step, turns)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("case", choices=CASES)
    for name in ("program", "random-model", "scripts"):
        parser.add_argument("--" + name, required=True)
    args = parser.parse_args()

    if args.case == "turns":
        try:
            turns(args)
        except Failure as failure:
            print(f"turns: {failure}", file=sys.stderr)
            return 1
        return 0

    def inside(folder):
        try:
            with cluster.Cluster(folder) as slurm:
                CASES[args.case](args, slurm)
        except (Failure, RuntimeError) as failure:
            print(f"{args.case}: {failure}", file=sys.stderr)
            return 1
        return 0

    return cluster.run_inside(inside)


if __name__ == "__main__":
    sys.exit(main())
