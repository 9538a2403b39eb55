"""The same lab under PyroLab and under Ferrolab, one after the other on this machine.

`cargo xtask compare` runs it. The lab has one nameserver, two daemons and four Python services.
Measured: how long `up` takes until every service has answered a stock client, how long `down`
takes until no process is left, and the memory of the lab's own processes when idle (proportional
set size; for Ferrolab with and without the Python workers, which hold the users' drivers).
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import Pyro5.api
import Pyro5.errors

TESTS = Path(__file__).resolve().parent
sys.path[:0] = [str(TESTS), str(TESTS / "drivers")]
from harness import free_port, wait_for  # noqa: E402
from harness.processes import carrying, processor_time  # noqa: E402

SERVICES = [f"lab.s{number}" for number in range(4)]


def configuration(port):
    lines = [
        "version: '1.0'",
        f"nameservers: {{ns: {{host: localhost, ns_port: {port}}}}}",
        "daemons:",
        "  a: {classname: Daemon, host: localhost, nameservers: [ns]}",
        "  b: {classname: Daemon, host: localhost, nameservers: [ns]}",
        "services:",
    ]
    for number, name in enumerate(SERVICES):
        lines.append(
            f"  {name}: {{module: pyrolab.drivers.sample, classname: SampleService,"
            f" daemon: {'ab'[number % 2]}, nameservers: [ns]}}"
        )
    lines.append("autolaunch: {nameservers: [ns], daemons: [a, b]}")
    return "\n".join(lines) + "\n"


def all_answer(port):
    with Pyro5.api.locate_ns("localhost", port) as nameserver:
        for name in SERVICES:
            with Pyro5.api.Proxy(nameserver.lookup(name)) as service:
                service.echo("hello")
    return True


def memory(pid):
    """The proportional set size of a process, in MiB."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def idle(mark, seconds):
    """A condition, looked at every so many seconds: in between the lab took next to no time."""
    used = [float("inf")]

    def is_idle():
        used.append(sum(processor_time(process.pid) for process in carrying(mark)))
        return 0 <= used[-1] - used[-2] < 0.02 * seconds

    return is_idle


def measure(program, folder, mark, variables, quiet=3):
    """Seconds to `up`, MiB of all processes, MiB of those that are not the users' Python, seconds
    to `down`; memory is that of a lab that was idle for `quiet` seconds."""
    port = free_port()
    file = folder / "lab.yaml"
    file.write_text(configuration(port))
    environment = os.environ | variables | dict([mark.split("=", 1)])
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"

    def run(*words):
        subprocess.run([program, *words], env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    run("config", "update", str(file))
    began = time.monotonic()
    run("up")
    wait_for(lambda: all_answer(port), 60, "every service answers", (Pyro5.errors.PyroError, OSError))
    seconds = time.monotonic() - began
    wait_for(idle(mark, quiet), 60, "the lab is idle", interval=quiet)
    processes = carrying(mark)
    everything = sum(memory(process.pid) for process in processes)
    own = sum(memory(p.pid) for p in processes if "python" not in os.path.basename(os.readlink(f"/proc/{p.pid}/exe")))
    began = time.monotonic()
    run("down")
    wait_for(lambda: not carrying(mark), 30, "the lab is down")
    return seconds, everything, own, time.monotonic() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ferrolab", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    pyrolab = str(Path(sys.executable).parent / "pyrolab")
    results = {"pyrolab": [], "ferrolab": []}
    for number in range(arguments.rounds):
        for name, program, home in (
            ("pyrolab", pyrolab, "PYROLAB_DATA_DIR"),
            ("ferrolab", arguments.ferrolab, "FERROLAB_HOME"),
        ):
            with tempfile.TemporaryDirectory(prefix="compare-") as folder:
                mark = f"COMPARE_MARK={os.getpid()}-{name}-{number}"
                results[name].append(measure(program, Path(folder), mark, {home: folder}))
    (py_up, py_all, _, py_down), (fl_up, fl_all, fl_own, fl_down) = (
        [statistics.median(column) for column in zip(*results[name], strict=True)]
        for name in ("pyrolab", "ferrolab")
    )
    figures = {
        "rounds": arguments.rounds,
        "up_seconds": {"pyrolab": round(py_up, 3), "ferrolab": round(fl_up, 3)},
        "down_seconds": {"pyrolab": round(py_down, 3), "ferrolab": round(fl_down, 3)},
        "idle_mib": {
            "pyrolab": round(py_all, 1),
            "ferrolab_own": round(fl_own, 1),
            "ferrolab_with_workers": round(fl_all, 1),
        },
    }
    if arguments.json:
        print(json.dumps(figures, indent=2))
    else:
        print(f"one nameserver, two daemons, four Python services; median of {arguments.rounds}")
        print(f"up until all answer:   PyroLab {py_up:.2f} s, Ferrolab {fl_up:.2f} s ({py_up / fl_up:.1f} times as fast)")
        print(f"down until all ended:  PyroLab {py_down:.2f} s, Ferrolab {fl_down:.2f} s")
        print(f"idle, own processes:   PyroLab {py_all:.1f} MiB, Ferrolab {fl_own:.1f} MiB ({fl_own / py_all:.1%})")
        print(f"idle, with workers:    Ferrolab {fl_all:.1f} MiB")
    return 0 if fl_up < py_up and fl_own <= py_all / 10 else 1


if __name__ == "__main__":
    sys.exit(main())
