"""A real SLURM on this machine alone: authentication, controller and one node, on loopback.

Needs root and Debian's ``slurm-wlm`` and ``munge``; no service manager, no containers. Everything
that it writes lies below one folder, and :meth:`OneNodeSlurm.stop` ends what was started.

    python tests/cluster/one_node_slurm.py FOLDER       # runs until Ctrl-C; prints what to export
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel")
_PORTS = 17817, 17818

_SETTINGS = """\
ClusterName=onenode
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
MpiDefault=none
SlurmctldPort={controller}
SlurmdPort={node}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
KillWait=2
ReturnToService=2
MaxArraySize=1001
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing_programs() -> list[str]:
    """What is not installed, or that this needs root."""
    lacking = [name for name in PROGRAMS if shutil.which(name, path=_search_path()) is None]
    return lacking if os.name == "posix" and os.geteuid() == 0 else [*lacking, "root"]


def _search_path() -> str:
    return os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


class OneNodeSlurm:
    """Started with :meth:`start`; programs find it by :attr:`environment`."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder).resolve()
        self.environment = {"SLURM_CONF": str(self.folder / "slurm.conf")}
        self._munge: subprocess.Popen | None = None

    def run(self, *command: str) -> str:
        """The output of one of SLURM's programs."""
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env={**os.environ, **self.environment, "PATH": _search_path()},
            timeout=60,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")
        return done.stdout

    def start(self, seconds: float = 30) -> None:
        """Start it, and wait until the node takes jobs."""
        for name in ("state", "spool"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o711)
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        self._munge = subprocess.Popen(
            [
                shutil.which("munged", path=_search_path()) or "munged",
                "--foreground",
                "--force",
                f"--key-file={key}",
                f"--socket={self.folder}/munge.socket",
                f"--pid-file={self.folder}/munged.pid",
                f"--seed-file={self.folder}/munge.seed",
                f"--log-file={self.folder}/munged.log",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        settings = _SETTINGS.format(
            host=socket.gethostname().split(".")[0],
            folder=self.folder,
            controller=_PORTS[0],
            node=_PORTS[1],
            cores=os.cpu_count(),
            memory=int(0.9 * pages) >> 20,
        )
        (self.folder / "slurm.conf").write_text(settings, encoding="utf-8")
        end = time.monotonic() + seconds
        self._wait_for(lambda: (self.folder / "munge.socket").exists(), end)
        self.run("slurmctld", "-c", "-i")
        self.run("slurmd")
        self._wait_for(self._is_up, end)

    def _is_up(self) -> bool:
        try:
            return self.run("sinfo", "--noheader", "--format=%T").strip() in ("idle", "mixed")
        except RuntimeError:
            return False

    def _wait_for(self, happens: object, end: float) -> None:
        while not happens():  # type: ignore[operator]
            if time.monotonic() > end:
                logs = [
                    path.read_text(errors="replace")[-500:] for path in self.folder.glob("*.log")
                ]
                self.stop()
                raise RuntimeError("SLURM did not start: " + "\n".join(logs))
            time.sleep(0.2)

    def jobs(self, name: str | None = None) -> list[str]:
        """Numbers of jobs that wait or run."""
        chosen = [] if name is None else [f"--name={name}"]
        return self.run("squeue", "--noheader", "--array", "--format=%A", *chosen).split()

    def stop(self) -> None:
        """End all jobs and everything that was started."""
        try:
            self.run("scancel", "--user=root")
            for _ in range(50):
                if not self.jobs():
                    break
                time.sleep(0.2)
        except (RuntimeError, subprocess.TimeoutExpired):
            pass
        for name in ("slurmd", "slurmctld"):
            file = self.folder / f"{name}.pid"
            if file.is_file() and (pid := file.read_text().strip()):
                _end(int(pid))
        if self._munge is not None:
            self._munge.terminate()
            self._munge.wait(10)


def _end(pid: int, seconds: float = 15) -> None:
    """End a process that is not ours to wait for."""
    end = time.monotonic() + seconds
    signal_now = signal.SIGTERM
    while True:
        try:
            os.kill(pid, signal_now)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return
        if state == "Z":
            return
        signal_now = 0 if time.monotonic() < end else signal.SIGKILL
        time.sleep(0.2)


def main(folder: str) -> int:
    cluster = OneNodeSlurm(Path(folder))
    cluster.start()
    print("\n".join(f"export {name}={value}" for name, value in cluster.environment.items()))
    try:
        signal.pause()
    except KeyboardInterrupt:
        cluster.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
