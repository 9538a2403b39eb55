"""One service at a time: restarts and reloads that leave others alone, and what stops them."""

import contextlib
import hashlib
import json
import os
import signal
import threading

import Pyro5.errors
import pytest
from harness import NEVER, free_port, wait_for
from harness.holder import Holder
from harness.outcome import proxy

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$folder"]}
daemons:
  bench: {classname: LockableDaemon}
  turns: {classname: LockableDaemon, servertype: multiplex}
  idle: {}
services:
  lab.stage: {module: instrument, classname: Instrument, expose: all, daemon: bench, instancemode: single, isolate: true}
  lab.cam: {module: instrument, classname: Instrument, expose: all, daemon: bench, instancemode: single}
  lab.shutter: {module: instrument, classname: Instrument, expose: all, daemon: bench, instancemode: single}
  lab.supply: {native: simulated.power_supply, daemon: bench}
  lab.turns: {module: instrument, classname: Instrument, expose: all, daemon: turns, instancemode: single}
  lab.idle: {module: instrument, classname: Instrument, expose: all, daemon: idle, instancemode: single}
autolaunch: {daemons: [bench, turns]}
"""
DRIVER = """\
import os
import time

class Instrument:
    def __init__(self, channel=0):
        self.channel = channel

    def read(self):
        return self.channel

    def pid(self):
        return os.getpid()

    def version(self):
        return 1

    def echo(self, value):
        return value

    def move(self, end):
        self.stopped = False
        while not self.stopped and not os.path.exists(end):
            time.sleep(0.01)

    def stop(self):
        self.stopped = True

    def well(self):
        return not os.path.exists(os.path.join(os.path.dirname(__file__), "unwell"))
"""


@pytest.fixture
def running(lab):
    (lab.files / "instrument.py").write_text(DRIVER)
    lab.config(CONFIGURATION, folder=str(lab.files))
    lab.up()
    return lab


def pids(lab, *services):
    found = []
    for service in services:
        with lab.proxy(service) as proxy:
            found.append(proxy.pid())
    return found


def daemons(lab):
    return [(row["name"], row["pid"], row["uri"]) for row in lab.ps()["daemons"]]


def refused(lab, *words):
    result = lab.run(*words, check=False)
    assert result.returncode == 1, result.text
    return result.stderr


@contextlib.contextmanager
def moving(lab, service):
    """A client whose call runs, and a file that ends it."""
    end = lab.files / "end"
    end.unlink(missing_ok=True)
    outcome = []

    def call():
        with lab.proxy(service) as proxy:
            try:
                outcome.append(proxy.move(str(end)))
            except Pyro5.errors.PyroError as error:
                outcome.append(str(error))
            except TimeoutError as error:
                outcome.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        wait_for(lambda: json.loads(lab.run("calls", "--json").stdout), NEVER, "the call runs")
        yield end, outcome
    finally:
        end.touch()
        thread.join(NEVER)


def edited(lab, text=CONFIGURATION, **services):
    """The configuration with more settings for some services, taken over without a reload."""
    for name, settings in services.items():
        text = text.replace(f"lab.{name}: {{", f"lab.{name}: {{{settings}, ")
    lab.config(text, folder=str(lab.files), ns_port=getattr(lab, "ns_port", 0))


def test_a_restart_of_one_service_leaves_all_else_alone(running):
    before = daemons(running)
    stage, cam, shutter, turns = pids(running, "lab.stage", "lab.cam", "lab.shutter", "lab.turns")
    with running.proxy("lab.cam") as locked, running.proxy("lab.stage") as client:
        assert locked.lock("ada") and client.version() == 1
        driver = running.files / "instrument.py"
        driver.write_text(DRIVER.replace("return 1", "return 2"))
        said = running.run("restart", "lab.stage").stdout
        assert said == "service lab.stage is running.\n"
        assert client.version() == 2, "the same connection, and the driver as it is now"
        assert client.pid() != stage
        assert locked.pid() == cam and locked.islocked()
    assert pids(running, "lab.cam", "lab.shutter", "lab.turns") == [cam, shutter, turns]
    assert daemons(running) == before


def test_services_that_share_its_worker_restart_too_and_are_named_first(running):
    cam, shutter, stage = pids(running, "lab.cam", "lab.shutter", "lab.stage")
    assert cam == shutter
    said = running.run("restart", "lab.cam").stdout.splitlines()
    assert said == ["lab.shutter: in the same worker, restarting too", "service lab.cam is running."]
    again, beside = wait_for(lambda: pids(running, "lab.cam", "lab.shutter"), NEVER, "both", Pyro5.errors.DaemonError)
    assert again == beside != cam and pids(running, "lab.stage") == [stage]
    with running.proxy("lab.shutter") as locked:
        locked.lock("ada")
        assert "lab.shutter is locked by ada at 127.0.0.1:" in refused(running, "restart", "lab.cam")
        locked.unlock()
    done = running.run("restart", "lab.cam", "lab.shutter", "lab.stage", "lab.turns", "--json")
    rows = {row["name"]: row["status"] for row in json.loads(done.stdout)["services"]}
    assert rows == dict.fromkeys(["lab.cam", "lab.shutter", "lab.stage", "lab.turns"], "running")
    assert done.stderr.count("restarting too") == 0, "each is named by hand"


COMMANDS = {
    "restart": ["restart", "lab.stage"],
    "restart daemon": ["restart", "daemon", "bench"],
    "stop daemon": ["stop", "daemon", "bench"],
    "reload": ["reload"],
    "down": ["down"],
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_a_held_lock_and_a_running_call_stop_a_command_that_would_end_them(running, words):
    edited(running, stage="start: eager")
    before = daemons(running)
    with running.proxy("lab.stage") as locked:
        locked.lock("ada")
        said = refused(running, *words)
        assert "not done, because it is in use" in said and "lab.stage is locked by ada at 127.0.0.1:" in said
        assert "--wait" in said and "--force" in said
        locked.unlock()
    with moving(running, "lab.stage") as (_, outcome):
        assert "move of lab.stage by 127.0.0.1:" in refused(running, *words)
        assert daemons(running) == before and not outcome
        running.run(*words, "--force")
        wait_for(lambda: outcome, NEVER, "the call ends") if words != ["down"] else None


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_wait_waits_until_it_is_free_and_ctrl_c_ends_the_wait(running, words):
    edited(running, stage="start: eager")
    before = daemons(running)
    with moving(running, "lab.stage") as (end, outcome):
        waiting = running.start(*words, "--wait")
        line = wait_for(waiting.stdout.readline, NEVER, "a line of progress")
        assert line.startswith("waiting, because it is in use: move of lab.stage by"), line
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(NEVER) != 0
        waiting = running.start(*words, "--wait")
        assert "waiting" in waiting.stdout.readline()
        assert daemons(running) == before
        end.touch()
        assert waiting.wait(NEVER) == 0, waiting.stdout.read()
        assert wait_for(lambda: outcome, NEVER, "the call ends") == [None], "it was not broken off"


def test_signals_and_the_service_manager_always_stop(running):
    with Holder.having(running.uri("lab.stage"), "ada"):
        os.kill(running.supervisor(), signal.SIGTERM)
        running.assert_nothing_left(timeout=NEVER, what="SIGTERM stops a lab that is in use")


def test_a_reload_of_one_service_leaves_all_else_alone(running):
    before = daemons(running)
    stage, cam, shutter = pids(running, "lab.stage", "lab.cam", "lab.shutter")
    with running.proxy("lab.cam") as locked, running.proxy("lab.stage") as client:
        assert locked.lock("ada") and client.read() == 0
        edited(running, stage="arguments: [7]")
        said = running.run("reload").stdout
        assert "Restarted: service lab.stage" in said.splitlines(), said
        assert client.read() == 7 and client.pid() != stage
        assert locked.pid() == cam
        # A setting that the daemon itself keeps restarts nothing.
        edited(running, stage="arguments: [7], lock_max_wait: 5", shutter="lock_max_ttl: 30")
        moved = client.pid()
        assert "Changed without a restart: daemon bench" in running.run("reload").stdout
        assert client.pid() == moved and locked.pid() == cam
        # After a restart of the process it is as the file says, not as the process was started.
        assert daemons(running) == before
        locked.unlock()
    running.restart("daemon", "bench")
    with running.proxy("lab.stage") as client:
        assert client.read() == 7
    assert pids(running, "lab.cam") != [cam]


def test_limits_timeouts_and_aborts_change_without_the_daemon(running):
    before = daemons(running)
    stage, cam = pids(running, "lab.stage", "lab.cam")
    with running.proxy("lab.supply") as locked, running.proxy("lab.stage") as client:
        assert locked.lock("ada")
        # The daemon itself keeps the limits of time, also those of a built-in service.
        # One method of the driver has a short time: a busy machine may take as long for any other.
        edited(running, stage="members: {move: {call_timeout: 0.2}}", supply="call_timeout: 60, on_timeout: restart")
        assert "Changed without a restart: daemon bench" in running.run("reload").stdout
        assert client.pid() == stage
        with moving(running, "lab.stage") as (end, outcome):
            wait_for(lambda: outcome, NEVER, "the call is overdue")
            assert isinstance(outcome[0], TimeoutError), outcome
            end.touch()
            wait_for(lambda: not running.run("calls").stdout.count("move"), NEVER, "the move ends")
        edited(running, stage="members: {echo: {maximum: 3}}, abort: [stop]")
        assert "Restarted: service lab.stage" in running.run("reload").stdout.splitlines()
        assert client.echo(3) == 3 and client.pid() != stage
        with pytest.raises(ValueError, match="must be at most 3, not 4"):
            client.echo(4)
        with moving(running, "lab.stage") as (_, outcome):
            running.run("abort", "lab.stage")
            wait_for(lambda: outcome, NEVER, "the move is aborted")
        assert pids(running, "lab.cam") == [cam] and daemons(running) == before
        assert locked.lock_info()["user"] == "ada"


def series(lab):
    rows = json.loads(lab.run("values", "--json").stdout)
    return {(row["service"], row["member"]): row for row in rows}


NAMED = CONFIGURATION.replace("daemons:", "nameservers: {local: {host: localhost, ns_port: $ns_port}}\ndaemons:", 1)
NAMED = NAMED.replace("lab.stage: {", "lab.stage: {nameservers: [local], ").replace("launch: {", "launch: {nameservers: [local], ")
POLLED = "members: {read: {poll: 100ms, keep: 1h}, version: {keep: 1h}}, description: the long one"


def test_polls_health_and_descriptions_change_without_a_restart(lab):
    """A client has the lock meanwhile: a restart of its daemon would be refused."""
    (lab.files / "instrument.py").write_text(DRIVER)
    lab.ns_port = free_port()
    edited(lab, NAMED)
    lab.up()
    before, stage = daemons(lab), pids(lab, "lab.stage")
    nameserver = f"PYRO:Pyro.NameServer@localhost:{lab.ns_port}"
    with lab.proxy("lab.stage") as client, lab.proxy("lab.cam") as owner, proxy(nameserver) as names:
        assert owner.lock("ada")
        edited(lab, NAMED, stage=POLLED, cam="health: {method: well, every: 100ms}")
        assert "Changed without a restart: daemon bench" in lab.run("reload").stdout
        wait_for(lambda: series(lab)["lab.stage", "read"]["quality"] == "good", NEVER, "a poll")
        assert series(lab)["lab.stage", "version"]["value"] is None
        assert client.version() == 1
        wait_for(lambda: series(lab)["lab.stage", "version"]["value"] == 1, NEVER, "what a client has read")
        card = json.loads(lab.run("describe", "lab.stage", "--json").stdout)["members"]
        assert card["read"]["series"] == {"poll": 0.1, "keep": 3600.0, "deadband": None}
        tags = lambda: names.lookup("lab.stage", return_metadata=True)[1]
        wait_for(lambda: tags() == {"the long one"}, NEVER, "the description")
        assert pids(lab, "lab.stage") == stage and daemons(lab) == before
        owner.unlock()
        (lab.files / "unwell").touch()
        wait_for(lambda: lab.entry("services", "lab.cam")["status"] == "unwell", NEVER, "a failed check")
        # All of it goes again; numbers of samples go on where it comes back.
        number = series(lab)["lab.stage", "read"]["seq"]
        edited(lab, NAMED)
        assert "Changed without a restart: daemon bench" in lab.run("reload").stdout
        wait_for(lambda: lab.entry("services", "lab.cam")["status"] == "running", NEVER, "no checks")
        wait_for(lambda: not tags(), NEVER, "no description")
        assert series(lab) == {}
        edited(lab, NAMED, stage="members: {read: {poll: 50ms}}")
        lab.run("reload")
        read = lambda: series(lab)["lab.stage", "read"]
        wait_for(lambda: read()["quality"] == "good" and read()["poll"] == 0.05, NEVER, "another poll")
        assert read()["seq"] > number
        assert pids(lab, "lab.stage") == stage and daemons(lab) == before


def test_a_change_that_a_running_daemon_cannot_take_up_restarts_it(running):
    turns = running.entry("daemons", "turns")["pid"]
    bench = running.entry("daemons", "bench")["pid"]
    for settings in ({"stage": "start: eager"}, {"cam": "isolate: true"}):
        edited(running, **settings)
        assert "Restarted: daemon bench" in running.run("reload").stdout
        assert running.entry("daemons", "bench")["pid"] != bench
        bench = running.entry("daemons", "bench")["pid"]
    assert running.entry("daemons", "turns")["pid"] == turns


BAD = {
    "lab.stgae": "there is no service `lab.stgae`; did you mean `lab.stage`?",
    "bench": "`bench` is a daemon: `ferrolab restart daemon bench`",
    "lab.supply": "`lab.supply` is a built-in service, which has no process of its own: `ferrolab restart daemon bench`",
    "lab.idle": "`lab.idle` does not run: its daemon idle is stopped; `ferrolab start daemon idle` starts it",
}


def test_services_that_cannot_be_restarted(running):
    for name, words in BAD.items():
        assert words in refused(running, "restart", name)
    assert "`lab.cam` is a service: `ferrolab restart lab.cam`" in refused(running, "restart", "daemon", "lab.cam")
    running.run("stop", "daemon", "turns")
    assert "its daemon turns was stopped by hand; `ferrolab start" in refused(running, "restart", "lab.turns")
    assert running.run("restart", check=False).returncode == 2
    assert running.run("restart", "lab.cam", "--force", "--wait", check=False).returncode == 2


def test_a_service_of_a_daemon_in_back_off(lab):
    (lab.files / "instrument.py").write_text(DRIVER)
    text = CONFIGURATION.replace("idle: {}", 'idle: {unixsocket: "/nonexistent/folder/socket", supervision: {backoff: [600]}}')
    lab.config(text.replace("daemons: [bench, turns]", "daemons: [idle]"), folder=str(lab.files))
    lab.up(check=False)
    lab.wait_for_status("daemons", "idle", "restarting")
    said = refused(lab, "restart", "lab.idle")
    assert "its daemon idle has crashed and is started again within" in said
    assert "`ferrolab restart daemon idle` starts it at once" in said


def test_an_update_with_a_reload_says_what_is_in_use(running):
    file = running.write(CONFIGURATION.replace("lab.stage: {", "lab.stage: {arguments: [7], "), folder=str(running.files))
    with running.proxy("lab.stage") as locked:
        locked.lock("ada")
        assert "lab.stage is locked by ada" in refused(running, "config", "update", file, "--reload")
        assert running.run("config", "update", file, "--force", check=False).returncode == 2
        running.run("config", "update", file, "--reload", "--force")
        assert locked.read() == 7, "the owner keeps its lock"


# Versions of drivers, and edited files


def stale(lab):
    found = json.loads(lab.run("status", "--json", check=False).stdout)["findings"]
    return {finding["subject"]: (finding["problem"], finding["advice"]) for finding in found}


def driver_of(lab, service):
    return wait_for(lambda: lab.entry("services", service).get("driver"), NEVER, f"the driver of {service}")


def test_a_driver_that_was_edited_is_named_until_it_is_imported(running):
    file = running.files / "instrument.py"
    expected = hashlib.sha256(DRIVER.encode()).hexdigest()[:16]
    row = driver_of(running, "lab.stage")
    assert (row["file"], row["hash"], row["distribution"], row["commit"]) == (str(file), expected, None, None)
    shown = running.run("logs", "show", "--service", "lab.stage", "--grep", "the driver's version").stdout
    assert expected in shown
    # The hash of a driver is there when it has been imported and read.
    services = ["lab.cam", "lab.shutter", "lab.stage", "lab.turns"]
    for service in services:
        driver_of(running, service)
    assert stale(running) == {}
    os.utime(file)
    assert stale(running) == {}, "the same text"
    file.write_text(DRIVER.replace("return 1", "return 2"))
    wait_for(lambda: sorted(stale(running)) == [f"service {name}" for name in services], NEVER, "they are stale")
    problem, advice = stale(running)["service lab.stage"]
    assert f"{file} has changed since it was imported" in problem and "`ferrolab restart lab.stage`" in advice
    assert "service lab.stage: " in running.run("reload").stdout
    running.run("restart", "lab.stage")
    services.remove("lab.stage")
    wait_for(lambda: sorted(stale(running)) == [f"service {name}" for name in services], NEVER, "one is new")
    changed = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    wait_for(lambda: driver_of(running, "lab.stage")["hash"] == changed, NEVER, "its new hash")


def test_modules_that_a_driver_imports_and_commits_and_packages_count(lab):
    folder, site = lab.files / "drivers", lab.files / "env" / "site-packages"
    for place in (folder, site / "bought"):
        place.mkdir(parents=True)
    (folder / "maths.py").write_text("FACTOR = 2\n")
    (folder / "stranger.py").write_text("")
    (folder / "stage.py").write_text("import maths\n\nclass Stage:\n    def read(self):\n        return maths.FACTOR\n")
    (site / "bought" / "__init__.py").write_text("class Camera:\n    def read(self):\n        return 1\n")
    old = site / "Bought-1.2.dist-info"
    old.mkdir()
    commit = "0123456789abcdef" * 2 + "01234567"
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text(commit + "\n")
    text = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers", "$site"]}
daemons: {bench: {}}
services:
  lab.stage: {module: stage, classname: Stage, expose: all, daemon: bench, instancemode: single}
  lab.cam: {module: bought, classname: Camera, expose: all, daemon: bench, instancemode: single}
autolaunch: {daemons: [bench]}
"""
    lab.config(text, drivers=str(folder), site=str(site))
    lab.up()
    assert driver_of(lab, "lab.stage")["commit"] == commit[:12]
    camera = driver_of(lab, "lab.cam")
    assert (camera["distribution"], camera["version"], camera["hash"]) == ("Bought", "1.2", None)
    (folder / "stranger.py").write_text("changed = 1\n")
    assert stale(lab) == {}
    (folder / "maths.py").write_text("FACTOR = 33\n")
    old.rename(site / "Bought-1.3.dist-info")
    wait_for(lambda: sorted(stale(lab)) == ["service lab.cam", "service lab.stage"], NEVER, "they are stale")
    found = stale(lab)
    assert f"{folder / 'maths.py'} has changed" in found["service lab.stage"][0]
    assert "Bought 1.3 is installed, and 1.2 was imported" in found["service lab.cam"][0]


def test_an_edited_file_is_named_with_the_command_that_takes_it_over(running):
    file = running.files / "lab.yaml"
    assert stale(running) == {}
    running.run("rename", "service", "lab.idle", "lab.spare", "--reload")
    assert stale(running) == {}, "the lab's own copy was edited"
    file.write_text(file.read_text() + "# a thought\n")
    command = f"ferrolab config update {file} --reload"
    problem, advice = stale(running)["the configuration file"]
    assert f"{file} was edited since it was taken over" in problem and command in advice
    assert command in running.run("reload").stdout
    assert json.loads(running.run("reload", "--json").stdout)["edited"] == str(file)
    running.run(*command.split()[1:])
    assert stale(running) == {}


def test_info_shows_real_ports_and_interpreters(running):
    port = running.entry("daemons", "bench")["uri"].rpartition(":")[2]
    shown = running.run("info").stdout
    bench = next(line for line in shown.splitlines() if line.split()[:1] == ["bench"])
    assert f"localhost:{port}" in bench or f"127.0.0.1:{port}" in bench, bench
    assert "localhost, a free port" in next(line for line in shown.splitlines() if line.split()[:1] == ["idle"])
    found = json.loads(running.run("info", "--json").stdout)["running"]
    assert os.path.isabs(found["services"]["lab.stage"]["python"])
    assert found["daemons"]["bench"]["uri"].endswith(port)
    running.run("down")
    running.config(CONFIGURATION.replace('executable: "$python", ', ""), folder=str(running.files))
    stage = next(line for line in running.run("info").stdout.splitlines() if line.split()[:1] == ["lab.stage"])
    assert "/python3" in stage.split()[-1], stage
    assert json.loads(running.run("info", "--json").stdout)["running"] is None
