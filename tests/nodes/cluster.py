"""A real Slurm on this machine alone: munged, slurmctld and one slurmd, none of them seen outside.

They live in namespaces of their own (processes, mounts, network, host name) and in one directory on
a tmpfs: nothing of the machine's own Slurm is read or touched, no port is taken, and when the
namespace's first process ends, however it ends, all of them are gone."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "squeue",
          "unshare")
NODE = "node1"
ADDRESS = "10.0.0.1"
CPUS = 3
INSIDE = "SP_CLUSTER_FOLDER"

CONFIG = """
ClusterName=secondpass
SlurmctldHost={node}({address})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,sched_min_interval=100000
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=10
NodeName={node} NodeAddr={address} CPUs={cpus} RealMemory=1000 State=UNKNOWN
PartitionName=free Nodes={node} Default=YES MaxTime=INFINITE PriorityTier=1 State=UP
PartitionName=urgent Nodes={node} MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF State=UP
"""


def missing():
    """Why there can be no cluster here; empty when there can."""
    lacking = [tool for tool in NEEDED if not shutil.which(tool)]
    if lacking:
        return f"not installed: {', '.join(lacking)}"
    if os.geteuid() != 0:
        return "a Slurm of its own needs root"
    done = subprocess.run(namespaces("true"), capture_output=True, text=True)
    return "" if done.returncode == 0 else f"no namespaces here: {done.stderr.strip()}"


def namespaces(*command):
    """The first process is a shell, which takes leave of what the daemons leave behind."""
    return ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--uts",
            "--net", "sh", "-c", '"$@"; exit $?', "sh", *command]


def run_inside(main):
    """Runs this script again in namespaces of its own, where `main` gets the cluster's folder; the
    exit code."""
    if INSIDE in os.environ:
        return main(pathlib.Path(os.environ[INSIDE]))
    reason = missing()
    if reason:
        print(f"SKIPPED: {reason}")
        return 0
    with tempfile.TemporaryDirectory(prefix="sp-cluster-") as folder:
        child = subprocess.Popen(namespaces(sys.executable, "-B", *sys.argv),
                                 env={**os.environ, INSIDE: folder})
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: child.kill())
        return child.wait()


def raise_network(hosts):
    """A loopback device with an address beside 127.0.0.1, without which nothing is looked up, and
    names for both."""
    get_flags, set_flags, set_address, up = 0x8913, 0x8914, 0x8916, 0x1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = fcntl.ioctl(any_socket, get_flags, struct.pack("16sh22x", b"lo", 0))
        flags, = struct.unpack_from("h", request, 16)
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sh22x", b"lo", flags | up))
        fcntl.ioctl(any_socket, set_address, struct.pack(
            "16sHH4s16x", b"lo:1", socket.AF_INET, 0, socket.inet_aton(ADDRESS)))
    hosts.write_text(f"127.0.0.1 localhost\n{ADDRESS} {NODE}\n")
    subprocess.run(["mount", "--bind", str(hosts), "/etc/hosts"], check=True)


class Cluster:
    """Started by `with`; commands of Slurm find it by the environment."""

    def __init__(self, folder):
        self.folder, self.daemons = folder, []

    def __enter__(self):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(self.folder)],
                       check=True)
        socket.sethostname(NODE)
        raise_network(self.folder / "hosts")
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        config = self.folder / "slurm.conf"
        config.write_text(CONFIG.format(node=NODE, address=ADDRESS, folder=self.folder, cpus=CPUS))
        os.environ["SLURM_CONF"] = str(config)
        self.start_munged()
        self.start("slurmctld", "-D", "-f", str(config))
        self.start("slurmd", "-D", "-f", str(config), "-N", NODE)
        self.wait(lambda: "idle" in self.ask("sinfo", "-h", "-o", "%t"), "an idle node")
        return self

    def __exit__(self, *_):
        with contextlib.suppress(subprocess.SubprocessError):
            self.ask("scancel", "--user", "root")
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in reversed(self.daemons):
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(timeout=20)

    def start_munged(self):
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        self.start("munged", "--foreground", "--force", "--num-threads=2", f"--key-file={key}",
                   f"--socket={self.folder}/munge.socket", f"--pid-file={self.folder}/munged.pid",
                   f"--seed-file={self.folder}/munged.seed", f"--log-file={self.folder}/munged.log")
        self.wait((self.folder / "munge.socket").exists, "munged")

    def start(self, *command):
        log = open(self.folder / f"{command[0]}.out", "w", encoding="utf-8")
        self.daemons.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                             stderr=subprocess.STDOUT))

    def wait(self, condition, what, seconds=120.0):
        limit = time.monotonic() + seconds
        while not condition():
            gone = [daemon.args[0] for daemon in self.daemons if daemon.poll() is not None]
            if gone or time.monotonic() > limit:
                raise RuntimeError(f"no {what}; ended: {gone}\n{self.logs()}")
            time.sleep(0.1)

    def logs(self):
        tails = []
        for path in sorted(self.folder.glob("*.out")) + sorted(self.folder.glob("*.log")):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            tails.append("\n".join([f"== {path.name}", *lines[-40:]]))
        return "\n".join(tails)

    @staticmethod
    def ask(*command):
        """What a command of Slurm prints; empty while it fails."""
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return done.stdout if done.returncode == 0 else ""

    def submit(self, *arguments, env=None):
        """The job's number."""
        done = subprocess.run(["sbatch", "--parsable", *map(str, arguments)], capture_output=True,
                              text=True, timeout=60, env={**os.environ, **(env or {})})
        if done.returncode != 0:
            raise RuntimeError(f"sbatch: {done.stderr}")
        return done.stdout.strip()

    def tasks(self, job):
        """Of every task of a job that is known: its number (0 without an array) -> what scontrol
        tells of it."""
        found = {}
        for line in self.ask("scontrol", "-o", "show", "job", job).splitlines():
            facts = dict(fact.partition("=")[::2] for fact in line.split() if "=" in fact)
            task = facts.get("ArrayTaskId", "0")
            if task.isdigit():
                found[int(task)] = facts
        return found
