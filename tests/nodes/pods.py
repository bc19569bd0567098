"""docker/k8s/indexed-job.yaml: what Kubernetes asks of it, and its pods run as a job controller would
run them, each with a host name and process numbers of its own.

usage: pods.py manifest|job --program secondpass --random-model random_model --manifest FILE
Needs PyYAML; says SKIPPED without. There is no Kubernetes here: what its controller does with exit
codes is done below by the rules of the file."""

import argparse
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "chaos"))
from workers import AS_HOST, hosts_are_possible  # noqa: E402
from workload import Workload, expect, run_case, wait_until  # noqa: E402

try:
    import yaml
except ImportError:
    yaml = None

MOUNT = "/data"


def read(path):
    """The claim and the job."""
    documents = list(yaml.safe_load_all(pathlib.Path(path).read_text(encoding="utf-8")))
    kinds = [document["kind"] for document in documents]
    expect(kinds == ["PersistentVolumeClaim", "Job"], f"kinds: {kinds}")
    return documents


def option(args, name):
    """Of the form --name=value."""
    found = [word.partition("=")[2] for word in args if word.partition("=")[0] == "--" + name]
    expect(len(found) == 1, f"--{name} stands there {len(found)} times")
    return found[0]


def manifest(args, _):
    """What the interface and the program ask of the file, which no parser of YAML would notice."""
    claim, job = read(args.manifest)
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    container, = pod["containers"]
    expect(job["apiVersion"] == "batch/v1" and spec["completionMode"] == "Indexed", "no indexed job")
    parts = {entry["name"]: entry["value"] for entry in container["env"]}["JOB_COMPLETIONS"]
    expect(isinstance(parts, str), "values of the environment are strings")
    expect(int(parts) == spec["completions"], f"{parts} parts, {spec['completions']} completions")
    expect(0 < spec["parallelism"] <= spec["completions"], f"parallelism {spec['parallelism']}")
    expect(spec["backoffLimitPerIndex"] > 0, "no index is started again")
    expect(pod["restartPolicy"] == "Never", "podFailurePolicy asks for restartPolicy: Never")
    grace = int(option(container["args"], "grace"))
    expect(grace < pod["terminationGracePeriodSeconds"], f"--grace={grace} is too long")
    for rule in spec["podFailurePolicy"]["rules"]:
        if "onExitCodes" in rule:
            named = rule["onExitCodes"]["containerName"]
            expect(named == container["name"], f"a rule about {named}")
    expect(action(spec, 130) == "Ignore", "an interrupted pod counts as a failure")
    expect(action(spec, 137) == "Count", "a killed pod is not counted")
    expect(all(action(spec, code) == "FailJob" for code in (2, 3, 4)), "hopeless pods start again")
    volume, = pod["volumes"]
    mount, = container["volumeMounts"]
    expect(volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"], "which claim?")
    expect(mount["name"] == volume["name"] and mount["mountPath"] == MOUNT, "which volume?")
    expect(claim["spec"]["accessModes"] == ["ReadWriteMany"], "pods on several nodes write")
    expect(option(container["args"], "threads") == container["resources"]["requests"]["cpu"],
           "threads are not the processors")


def action(spec, code):
    """What the job controller does with a pod that ended so."""
    for rule in spec["podFailurePolicy"]["rules"]:
        codes = rule.get("onExitCodes")
        if codes and codes["operator"] == "In" and code in codes["values"]:
            return rule["action"]
    return "Count"


class Pod:
    """One container of the job, on a node of its own as far as it can see."""

    def __init__(self, job, index, life, work):
        container, = job["spec"]["template"]["spec"]["containers"]
        words = [word.replace(MOUNT, str(work.folder)) for word in container["args"]]
        env = {entry["name"]: entry["value"] for entry in container["env"]}
        command = [work.program, *words, "--shard-utts", str(work.utts_a_shard), "--lease", "3"]
        self.index, self.life = index, life
        self.host = f"{job['metadata']['name']}-{index}-{life}"
        self.process = subprocess.Popen(
            [*AS_HOST, self.host, *command],
            env={**os.environ, **env, "JOB_COMPLETION_INDEX": str(index)},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def is_at_work(self, run):
        """A worker's file begins with its host's name, without what ids have no place for."""
        name = re.sub("[^A-Za-z0-9]", "_", self.host)[:24]
        return self.process.poll() is None and any(run.glob(f".claims/worker-{name}-*"))

    def send(self, number):
        """To the first process of the pod."""
        pid = self.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(int(children[0]), number)


def job(args, folder):
    """All pods at a time; one is evicted (SIGTERM), one loses its node (SIGKILL)."""
    if not hosts_are_possible():
        return
    _, manifest = read(args.manifest)
    spec = manifest["spec"]
    work = Workload(args, folder, seconds=8.0)
    data = work.folder
    (data / "nbest.jsonl.zst").symlink_to(work.archive)
    pods = [Pod(manifest, index, 0, work) for index in range(spec["completions"])]
    run = data / "run"
    at_work = []

    def in_its_middle():
        at_work[:] = [pod for pod in pods if pod.is_at_work(run)]
        return any(run.glob("*.done")) and len(at_work) >= 3

    expect(wait_until(in_its_middle, pods[-1].process, 300.0), "the job ended too early")
    evicted, lost = at_work[1:3]
    evicted.send(signal.SIGTERM)
    lost.process.kill()
    actions, failures = [], 0
    while pods:
        time.sleep(0.02)
        for pod in [pod for pod in pods if pod.process.poll() is not None]:
            pods.remove(pod)
            _, errors = pod.process.communicate()
            code = pod.process.returncode
            if code == 0:
                continue
            actions.append(action(spec, code))
            failures += actions[-1] == "Count"
            expect(actions[-1] != "FailJob" and failures <= 1,
                   f"pod {pod.index}-{pod.life}: exit {code}: {errors}")
            pods.append(Pod(manifest, pod.index, pod.life + 1, work))
    expect(sorted(actions) == ["Count", "Ignore"], f"of the disturbed pods: {actions}")
    work.check_complete(run)


CASES = {f.__name__: f for f in (manifest, job)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("case", choices=CASES)
    for name in ("program", "random-model", "manifest"):
        parser.add_argument("--" + name, required=True)
    args = parser.parse_args()
    if not yaml:
        print("SKIPPED: no PyYAML here")
        return 0
    return run_case(CASES[args.case], args, "pods")


if __name__ == "__main__":
    sys.exit(main())
