"""`ferrolab upgrade`: a new program takes over a running lab."""

import contextlib
import json
import os
import shutil
import threading
from pathlib import Path

import ferrolab
import Pyro5.api
import Pyro5.errors
import pytest
from ferrolab.client.proxy import remote_of
from harness import NEVER, free_port, proxy, wait_for
from harness.locks import refused
from harness.records import RELEASES, Record
from test_guide import SMALL_LAB, run_page
from test_releases import OLD_PROGRAMS, RecordedSupervisor, last_epoch, names

LAB = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
nameservers: {local: {host: localhost, ns_port: $ns_port, storage: sql}}
daemons:
  bench: {classname: LockableDaemon, nameservers: [local]}
  store: {}
  attic: {}
services:
  lab.stage: {module: stage, classname: Stage, daemon: bench, nameservers: [local], instancemode: single, start: eager, arguments: {record: "$record"}, read_while_locked: [moves]}
  lab.supply: {native: simulated.power_supply, daemon: bench, on_disconnect: ["off"]}
  lab.meter: {native: simulated.multimeter, daemon: store, nameservers: [local], members: {measure_voltage: {poll: 200ms, keep: 1d}}}
  lab.attic: {native: simulated.loopback, daemon: attic}
autolaunch: {nameservers: [local], daemons: [bench, store, attic]}
history: {size: 64MiB}
"""
TOKEN = "the token of bench 3"
LOST = (Pyro5.errors.CommunicationError, ferrolab.CommunicationError, ferrolab.NamingError)


def install(lab, program):
    """Puts a program in the place of the lab's, as `pip install` does: that has no file then."""
    place = lab.folder / "bin/ferrolab"
    place.parent.mkdir(exist_ok=True)
    new = place.with_name("new")
    shutil.copy(program, new)
    new.rename(place)
    lab.binary = str(place)
    return place


def programs(lab):
    """The files that the lab's processes run, but for workers, by device and number."""
    found = set()
    for process in lab.processes():
        with contextlib.suppress(OSError):
            folder = Path(f"/proc/{process.pid}")
            if (folder / "cmdline").read_bytes().split(b"\0")[1:2] == [b"run"]:
                found |= identity(folder / "exe")
    return found


def identity(program):
    return {(program.stat().st_dev, program.stat().st_ino)}


@pytest.fixture
def old(lab):
    """A running lab whose program was replaced."""
    program = lab.binary
    install(lab, program)
    (lab.files / "record").touch()
    lab.config(LAB, record=str(lab.files / "record"), ns_port=free_port())
    lab.up()
    lab.run("stop", "daemon", "attic")
    lab.new_program = install(lab, program)
    return lab


class Caller(threading.Thread):
    """A client that calls again and again, and counts the connections that it has made."""

    def __init__(self, call, connections):
        super().__init__(daemon=True)
        self.call, self.connections = call, connections
        self.calls, self.failures, self.other = 0, 0, []
        self.seen = set()
        self.over = threading.Event()

    def run(self):
        while not self.over.is_set():
            try:
                self.call()
                self.calls += 1
                self.seen.add(self.connections())
            except LOST:
                self.failures += 1
                self.over.wait(0.05)
            except Exception as error:
                self.other.append(error)
                self.over.wait(0.05)

    def wait_for_calls(self, more):
        before = self.calls
        wait_for(lambda: self.calls >= before + more, NEVER, f"{more} more calls: {self.other[-1:]}")

    def end(self):
        self.over.set()
        self.join(NEVER)


def stock_caller(uri, member):
    made = Pyro5.api.Proxy(uri)
    made._pyroTimeout = NEVER

    def call():
        made._pyroClaimOwnership()
        return getattr(made, member)()

    return Caller(call, lambda: made._pyroConnection.sock.getsockname())


def our_caller(service):
    return Caller(service.identify, remote_of(service).pool.own)


def test_clients_reconnect_once_and_what_is_kept_goes_on(old):
    lab = old
    uris = {row["name"]: row["uri"] for row in lab.ps()["services"]}
    with contextlib.ExitStack() as stack:
        made = stack.enter_context(ferrolab.connect(lab.home, timeout=NEVER, connect_timeout=NEVER))
        callers = [
            stock_caller(uris["lab.meter"], "identify"),
            stock_caller(uris["lab.stage"], "moves"),
            our_caller(made["lab.meter"]),
        ]
        stranger = proxy(uris["lab.supply"])
        intruder = Caller(lambda: (stranger._pyroClaimOwnership(), stranger.lock("eve")), lambda: None)
        for caller in callers:
            caller.start()
            stack.callback(caller.end)
            caller.wait_for_calls(3)
        supply = made["lab.supply"]
        with supply.locked(user="ada", ttl=NEVER) as lock, proxy(uris["lab.stage"]) as stage:
            assert stage.lock("ada", token=TOKEN, ttl=NEVER) is True
            held = [lock.epoch, stage.lock_info()["epoch"]]
            intruder.start()
            stack.callback(intruder.end)
            before = lab.run("upgrade", check=False, timeout=NEVER)
            assert before.returncode == 1 and "lab.stage is locked by ada" in before.text, before.text
            assert "the lab's program: it was replaced" in lab.run("status", check=False).text
            wait_for(lambda: history(lab), NEVER, "the history has a value")
            recorded = len(history(lab))
            done = json.loads(lab.run("upgrade", "--force", "--timeout", NEVER, "--json", timeout=NEVER).stdout)
            assert [done["before"], done["failures"]] == [done["now"], []]
            # The owner of a block has its lock again by itself, on one new connection.
            wait_for(lambda: [supply.off()], NEVER, "a call in the block runs", (ferrolab.CommunicationError,))
            assert lock.lost is None and lock.epoch > held[0]
            intruder.end()
        with proxy(uris["lab.stage"]) as again, proxy(uris["lab.stage"]) as eve:
            refused(lambda: eve.lock("eve"))
            assert again.lock("ada", token=TOKEN) is True
            assert again.lock_info()["epoch"] > held[1]
            again.unlock()
        for caller in callers:
            caller.wait_for_calls(3)
            caller.end()
            assert caller.other == [] and len(caller.seen) == 2, (caller.seen, caller.other)
        assert intruder.other and {str(error) for error in intruder.other} == {"Pyro object is locked (by 'ada')"}
        wait_for(lambda: len(history(lab)) > recorded + 3, NEVER, "the history goes on")
    rows = lab.ps()
    assert {row["name"]: row["uri"] for row in rows["services"]} == uris
    assert {row["name"]: row["status"] for row in rows["daemons"]} == {"bench": "running", "store": "running", "attic": "stopped"}
    assert programs(lab) == identity(lab.new_program)
    assert "the lab's program" not in lab.run("status", check=False).text
    assert lab.run("upgrade").stdout.startswith("The lab runs with this program: ")


def history(lab):
    return [row for row in lab.run("history", "lab.meter.measure_voltage", "--csv", check=False).stdout.splitlines() if row.strip()]


def test_until_then_what_starts_anew_is_the_new_program(old):
    lab = old
    lab.run("restart", "daemon", "store")
    pid = lab.entry("daemons", "store")["pid"]
    assert Path(f"/proc/{pid}/exe").stat().st_ino == lab.new_program.stat().st_ino
    supervisor = lab.supervisor()
    assert Path(f"/proc/{supervisor}/exe").stat().st_ino != lab.new_program.stat().st_ino


@pytest.mark.parametrize(
    ("script", "why"),
    [("exit 7", "ended at once with code 7"), ('exec "$FERROLAB_TEST_OTHER" "$@"', "another program came up")],
)
def test_a_lab_that_does_not_come_up_goes_on_with_the_program_before(old, script, why):
    lab = old
    other = shutil.copy(lab.new_program, lab.folder / "other")
    uri = lab.uri("lab.meter")
    with proxy(lab.uri("lab.stage")) as ada:
        ada.lock("ada")
        upgrading = lab.start("upgrade", "--wait")
        line = upgrading.stdout.readline()
        assert "lab.stage is locked by ada" in line, line
        # The next program does not work; the command notices it when everything has stopped.
        lab.new_program.unlink()
        lab.new_program.write_text("#!/bin/sh\n" + script.replace("$FERROLAB_TEST_OTHER", str(other)) + "\n")
        lab.new_program.chmod(0o755)
        ada.unlock()
    said = upgrading.stdout.read()
    assert upgrading.wait(NEVER) == 1
    assert "the lab runs on with the program before" in said and why in said, said
    kept = lab.home / "state/program-before-upgrade"
    lab.binary = str(kept)
    assert programs(lab) == identity(kept)
    with proxy(uri) as meter:
        assert meter.identify()
    assert lab.entry("daemons", "attic")["status"] == "stopped"


def test_an_interrupted_wait_stops_nothing(old):
    lab = old
    with proxy(lab.uri("lab.stage")) as ada:
        ada.lock("ada")
        upgrading = lab.start("upgrade", "--wait")
        assert "lab.stage is locked by ada" in upgrading.stdout.readline()
        os.kill(upgrading.pid, 2)
        assert upgrading.wait(NEVER) == 1
        assert "interrupted; nothing was stopped" in upgrading.stdout.read()
        assert ada.lock_info()["user"] == "ada"


def test_a_configuration_that_the_new_program_does_not_read_stops_nothing(old):
    lab = old
    supervisor = lab.supervisor()
    (lab.home / "config.yaml").write_text("daemons: {bench: {clasname: LockableDaemon}}")
    said = lab.run("upgrade", check=False)
    assert said.returncode == 1 and "clasname" in said.text and "nothing was stopped" in said.text
    assert lab.supervisor() == supervisor


def test_a_lab_in_the_foreground_is_left_to_what_has_started_it(lab):
    program = lab.binary
    install(lab, program)
    lab.config(SMALL_LAB, ns_port=free_port())
    foreground = lab.start("up", "--foreground")
    wait_for(lambda: lab.run("ps", check=False).returncode == 0, NEVER, "the lab is up")
    install(lab, program)
    said = lab.run("upgrade", "--force", check=False)
    assert said.returncode == 1 and "runs in the foreground" in said.text, said.text
    assert foreground.poll() is None
    lab.down()
    foreground.wait(NEVER)


def test_a_changed_configuration_is_named_before_anything_stops(old):
    lab = old
    file = lab.home / "config.yaml"
    file.write_text(file.read_text() + "# changed\n")
    said = lab.run("upgrade", "--timeout", NEVER, timeout=NEVER)
    assert "The configuration has changed since the lab took it up" in said.text, said.text
    # Of a lab that runs with this program already nothing is taken up.
    file.write_text(file.read_text() + "# again\n")
    said = lab.run("upgrade")
    assert "The configuration has changed" not in said.text, said.text


def test_where_systemd_cannot_be_told_the_way_back_goes_without_it(lab):
    program = lab.binary
    install(lab, program)
    lab.config(SMALL_LAB, ns_port=free_port())
    lab.variables |= {"FERROLAB_SERVICE": "user", "NOTIFY_SOCKET": str(lab.folder / "notify"), "XDG_CONFIG_HOME": str(lab.files)}
    lab.variables |= {"XDG_RUNTIME_DIR": "", "DBUS_SESSION_BUS_ADDRESS": ""}
    lab.up()
    supervisor = lab.supervisor()
    install(lab, program)
    said = lab.run("upgrade", check=False)
    assert said.returncode == 1 and "has no bus to it here" in said.text and "nothing was stopped" in said.text, said.text
    assert lab.supervisor() == supervisor
    # There seems to be one, and is not.
    lab.variables |= {"XDG_RUNTIME_DIR": str(lab.files)}
    systemctl = lab.folder / "bin/systemctl"
    systemctl.write_text("#!/bin/sh\necho Failed to connect to bus >&2\nexit 1\n")
    systemctl.chmod(0o755)
    said = lab.run("upgrade", "--timeout", NEVER, check=False, timeout=NEVER)
    assert said.returncode == 1, said.text
    for words in ["Failed to connect to bus", "going back without it", "`systemctl --user stop ferrolab`", "the lab runs on with the program before"]:
        assert words in said.text, said.text
    assert programs(lab) == identity(lab.home / "state/program-before-upgrade")


def test_a_lab_that_is_not_up(lab):
    said = lab.run("upgrade", check=False)
    assert said.returncode == 1 and "`ferrolab up`" in said.text


def test_the_page(lab):
    """Its sections, with the program replaced where the page says so."""
    program, ns_port = lab.binary, free_port()
    install(lab, program)
    lab.config(SMALL_LAB, ns_port=ns_port)
    lab.up()
    run_page(lab, "upgrade.md", ns_port, "Before")
    install(lab, program)
    assert "The lab runs with this program now" in run_page(lab, "upgrade.md", ns_port, "Take over")
    run_page(lab, "upgrade.md", ns_port, "Go back", STATE=str(lab.home / "state"))
    lab.assert_nothing_left()


# From earlier releases


@pytest.mark.parametrize("release", RELEASES)
def test_a_home_is_taken_over_by_the_words_of_its_release(lab, release):
    """The supervisor of the release is its record; its home comes up with today's program."""
    record = Record(release, lab)
    supervisor = RecordedSupervisor(lab)
    # The last listing comes first: a lock is held in it.
    exchanges = [exchange for _, exchanges, _ in record.commands() for exchange in exchanges]
    supervisor.exchanges, supervisor.ends = exchanges[::-1], True
    locked = lab.run("upgrade", check=False)
    assert locked.returncode == 1 and "is locked by" in locked.text, locked.text
    done = lab.run("upgrade", "--force", "--timeout", NEVER, timeout=NEVER)
    assert supervisor.unknown == []
    assert f"before {record.facts['version']}" in done.stdout, done.text
    assert {row["name"]: row["uri"] for row in lab.ps()["services"] if row["uri"]} == record.facts["uris"]


@pytest.mark.skipif(not OLD_PROGRAMS, reason="FERROLAB_TEST_OLD_PROGRAMS is not set")
@pytest.mark.parametrize("release", RELEASES)
def test_a_release_is_taken_over_and_comes_back(lab, release):
    record, today = Record(release, lab), lab.binary
    old = install(lab, Path(OLD_PROGRAMS) / f"ferrolab-{record.facts['version']}")
    lab.up()
    uris = {row["name"]: row["uri"] for row in lab.ps()["services"] if row["uri"]}
    assert uris == record.facts["uris"] and programs(lab) == identity(old)
    install(lab, today)
    caller = stock_caller(uris["lab.meter"], "identify")
    caller.start()
    try:
        caller.wait_for_calls(3)
        with proxy(uris["lab.lamp"]) as ada:
            ada.lock("ada")
            locked = lab.run("upgrade", check=False)
            assert locked.returncode == 1 and "lab.lamp is locked by ada" in locked.text, locked.text
            epoch = ada.lock_info()["epoch"]
            ada.unlock()
        lab.run("upgrade", "--timeout", NEVER, timeout=NEVER)
        caller.wait_for_calls(3)
        assert len(caller.seen) == 2 and caller.other == [], caller.other
        with proxy(uris["lab.lamp"]) as ada:
            ada.lock("ada", token=TOKEN, ttl=NEVER)
            assert ada.lock_info()["epoch"] > epoch > last_epoch(record)
        for name, registered in record.facts["registered"].items():
            assert names(lab, "directory")[name] == registered
        # The way back, with the copy.
        lab.down()
        lab.binary = str(lab.home / "state/program-before-upgrade")
        lab.up()
        with proxy(uris["lab.lamp"]) as eve:
            assert eve.lock("eve") is True, "0.1.0 keeps no lock over a restart"
        caller.wait_for_calls(3)
        lab.run("down")
    finally:
        caller.end()

