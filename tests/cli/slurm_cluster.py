"""A real Slurm of two virtual nodes on this machine, for the length of a `with`."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NODES = ("cdam1", "cdam2")
DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "scancel")
KILL_WAIT = 2  # seconds between SIGTERM and SIGKILL
REQUEUE_SECONDS = 10  # Slurm holds a requeued job back for as long as its credential lives; 120 by default


def missing_daemons() -> list[str]:
    """What of Slurm and munge is not installed."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return [name for name in DAEMONS if shutil.which(name, path=path) is None]


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Start munged, slurmctld and a slurmd per node; stop them all, and every job, in the end.

    Args:
        folder: for sockets, states and logs; on the file system that nodes share: this machine's.
    Yields:
        The environment in which Slurm's commands talk to this cluster.
    """
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    environment["SLURM_CONF"] = str(folder / "slurm.conf")
    (folder / "state").mkdir(parents=True)
    socket_path = Path(f"/tmp/cdam-slurm-{os.getpid()}") / "socket"  # sockets have short paths, in spool/ too
    socket_path.parent.mkdir(mode=0o755)
    (socket_path.parent / "spool").mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    (folder / "slurm.conf").write_text(_configuration(folder, socket_path))
    munge = ["--key-file", key, "--socket", socket_path, "--log-file", folder / "munged.log", "--force"]
    commands = [
        ["munged", "--foreground", *munge, "--pid-file", folder / "munged.pid", "--seed-file", folder / "munged.seed"],
        ["slurmctld", "-D"],
        *(["slurmd", "-D", "-N", node] for node in NODES),
    ]
    daemons: list[subprocess.Popen] = []
    try:
        for command in commands:
            log = (folder / f"{command[0]}-{len(daemons)}.out").open("wb")
            daemons.append(subprocess.Popen(list(map(str, command)), env=environment, stdout=log, stderr=log))
            log.close()
            if command[0] == "munged":
                wait_for(socket_path.exists, "munged", 20)
        wait_for(lambda: _idle_nodes(environment) == len(NODES), f"two idle nodes (logs: {folder})", 60)
        yield environment
    finally:
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(["scancel", "--user=root", "--full"], env=environment, timeout=20, check=False)
            subprocess.run(["scancel", "--user=root", "--signal=KILL"], env=environment, timeout=20, check=False)
            wait_for(lambda: not slurm(environment, "squeue", "--noheader").strip(), "the end of all jobs", 20)
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in reversed(daemons):
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
        for process in _processes_of(environment["SLURM_CONF"]):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        shutil.rmtree(socket_path.parent, ignore_errors=True)


def _processes_of(configuration: str) -> list[int]:
    """What still runs with this cluster's configuration in its environment: jobs, and Slurm's processes around them."""
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"SLURM_CONF={configuration}\0".encode() in file.read_bytes():
                found.append(int(file.parent.name))
    return found


def slurm(environment: dict[str, str], *command: str) -> str:
    """What a command of Slurm prints."""
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout


def wait_for(condition: Callable[[], object], what: str, seconds: float = 600) -> object:
    """The condition's value as soon as it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds} seconds for {what}")


def _idle_nodes(environment: dict[str, str]) -> int:
    with suppress(subprocess.SubprocessError):
        return slurm(environment, "sinfo", "--noheader", "-N", "-o", "%t").split().count("idle")
    return 0


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _configuration(folder: Path, socket_path: Path) -> str:
    control, *ports = _free_ports(1 + len(NODES))
    host = socket.gethostname()
    nodes = "\n".join(
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=1000 State=UNKNOWN"
        for node, port in zip(NODES, ports, strict=True)
    )
    return f"""\
ClusterName=cdam
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={socket_path},cred_expire={REQUEUE_SECONDS}
StateSaveLocation={folder}/state
SlurmdSpoolDir={socket_path.parent}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerParameters=sched_interval=2,bf_interval=2
KillWait={KILL_WAIT}
{nodes}
PartitionName=main Nodes={",".join(NODES)} Default=YES MaxTime=INFINITE State=UP
"""
