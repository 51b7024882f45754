"""A SLURM of one node, with fake GPUs, for the tests: real daemons, and all that they write in one folder.

Nothing of the machine's own is touched: configuration, key, sockets, state, logs and ports are the node's. No
database is needed, and no privilege: jobs run as whoever starts it.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PACKAGES = {"munged": "munge", "slurmctld": "slurmctld", "slurmd": "slurmd", "sbatch": "slurm-client"}
"""Programs, and Debian's packages that have them."""

GPU = "fake"
"""The name of the node's GPUs: where no program asks for CUDA, any character device passes for one."""

DEVICES = ("/dev/null", "/dev/zero")

OPTIONS = (
    *("--profile", "profiles/slurm", "--jobs", "4", "--latency-wait", "5"),
    *("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2"),
    *("--default-resources", "slurm_partition=main", f"gpu_model={GPU}"),
)
"""How Snakemake submits here: the profile as shipped, and what is this node's own."""

CONFIGURATION = """\
ClusterName=strata
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdParameters=config_overrides
MailProg=/bin/true
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=2
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MinJobAge=3600
ReturnToService=2
SlurmdTimeout={slurmd_timeout}
KillWait=2
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb} Gres=gpu:{gpu}:{n_gpus} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE DefaultTime=60 State=UP
"""


def lacking() -> list[str]:
    """Debian's packages that the node needs and that are not here."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
    return [package for program, package in PACKAGES.items() if shutil.which(program, path=path) is None]


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def wait_until(true: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Look again and again, and fail if it does not come about in time."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not in {seconds} seconds: {what}"
        time.sleep(0.2)


@dataclass
class Node:
    """A cluster of one node; ``environment`` is what its commands, and those who submit, need.

    ``cpus`` and ``memory_mb`` are what the node says that it has, whatever the machine has.
    """

    folder: Path
    cpus: int = 4
    memory_mb: int = 16_000
    slurmd_timeout: int = 10
    _running: dict[str, subprocess.Popen] = field(default_factory=dict)

    @property
    def environment(self) -> Mapping[str, str]:
        path = os.pathsep.join([str(self.folder / "bin"), os.environ["PATH"], "/usr/sbin"])
        return os.environ | {"PATH": path, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self) -> None:
        """Write the configuration, start the daemons, wait until jobs are taken."""
        for name in ("state", "spool", "bin"):
            (self.folder / name).mkdir()
        self.folder.chmod(0o755)  # or munge's socket would be out of reach
        controller_port, node_port = free_ports(2)
        host = socket.gethostname().partition(".")[0]
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        values = {**vars(self), "gpu": GPU, "n_gpus": len(DEVICES), "user": user, "host": host}
        values |= {"controller_port": controller_port, "node_port": node_port}
        (self.folder / "slurm.conf").write_text(CONFIGURATION.format(**values))
        gres = "".join(f"NodeName={host} Name=gpu Type={GPU} File={device}\n" for device in DEVICES)
        (self.folder / "gres.conf").write_text("AutoDetect=off\n" + gres)
        # A job's steps are started without SLURM_CONF, which would be another cluster's.
        srun = self.folder / "bin/srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        files = {
            "socket": "munge.socket",
            "pid-file": "munge.pid",
            "log-file": "munge.log",
            "seed-file": "munge.seed",
        }
        options = [f"--{option}={self.folder / file}" for option, file in files.items()]
        self._start("munged", "--foreground", "--force", f"--key-file={key}", *options)
        wait_until((self.folder / "munge.socket").exists, "munged")
        self._start("slurmctld", "-D", "-i")
        wait_until(lambda: "UP" in self.run("scontrol", "ping"), "slurmctld")
        self.start_slurmd()

    def start_slurmd(self) -> None:
        """Start the node's own daemon, and wait until it takes jobs."""
        self._start("slurmd", "-D")
        wait_until(lambda: self.run("sinfo", "-h", "-o", "%t").strip() in ("idle", "mix", "alloc"), "slurmd")

    def lose_power(self) -> None:
        """Kill the node's daemon and all that it has begun, first those who would tell of the others' end."""
        tell, begun = set(), set()
        for process in psutil.process_iter(["environ"]):
            its = process.info["environ"] or {}
            if "SLURM_JOB_ID" in its and its.get("SLURM_CONF") == self.environment["SLURM_CONF"]:
                tell |= {p for p in (process, *process.parents()) if p.name() == "slurmstepd"}
                begun.add(process)
        slurmd = self._running.pop("slurmd")
        for process in (slurmd, *tell, *(begun - tell)):
            process.kill()
        slurmd.wait()

    def stop(self) -> None:
        """Cancel all jobs and stop all that was started."""
        if "slurmctld" in self._running:
            self.run("scancel", "--user", str(os.getuid()))
        if "slurmd" in self._running:
            wait_until(lambda: not self.run("squeue", "-h"), "the last jobs' end")
        for process in reversed(self._running.values()):
            process.terminate()
            process.wait(timeout=60)

    def run(self, *command: str) -> str:
        """What one of SLURM's commands says; nothing if it fails."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        return done.stdout

    def snakemake(self, folder: Path, *arguments: str) -> subprocess.Popen:
        """Begin a run in a project's folder; what it says is all in ``stdout``."""
        command = [sys.executable, "-m", "snakemake", *OPTIONS, *arguments]
        return subprocess.Popen(
            command,
            cwd=folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def jobs(self, folder: Path) -> list[dict[str, str]]:
        """Every job submitted from a folder, the first first: its fields in SLURM, and its ``Rule``."""
        lines = self.run("scontrol", "--oneliner", "show", "job").splitlines()
        fields = [dict(word.partition("=")[::2] for word in line.split() if "=" in word) for line in lines]
        own = [job for job in fields if job.get("WorkDir") == str(folder)]
        rules = [re.fullmatch(r"rule_(\w+?)(_wildcards_.*)?", job["Comment"])[1] for job in own]
        return [job | {"Rule": rule} for job, rule in zip(own, rules, strict=True)]

    def _start(self, name: str, *options: str) -> None:
        log = (self.folder / f"{name}.log").open("a")
        self._running[name] = subprocess.Popen(
            [name, *options], env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
