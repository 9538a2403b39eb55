"""Names come back by themselves, go when their daemon goes, and are taken back from others."""

import contextlib
import re
import signal
import time

import Pyro5.api
import Pyro5.errors
import pytest
from harness import (
    Certificates,
    Service,
    free_port,
    new_lab,
    proxy,
    stock_daemon,
    stock_nameserver,
    wait_for,
)
from harness.processes import kill

# A driver that takes a while to load keeps its daemon from registering for as long.
CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
nameservers:
  local: {supervision: {backoff: [0]}, host: localhost, ns_port: $local}
  other: {host: localhost, ns_port: $other}
daemons:
  bench:
    host: localhost
    nameservers: [local, other]
    reclaim_names: $reclaim
    supervision: {backoff: [0], stop_grace: $stop_grace}
services:
  lab.supply: {native: simulated.power_supply, daemon: bench, nameservers: [local, other], description: "20 V"}
  lab.here: {native: simulated.multimeter, daemon: bench, nameservers: [local]}
autolaunch: {nameservers: [local], daemons: [bench]}
"""
SLOW = """
  lab.slow: {module: slow_to_load, classname: Slow, daemon: bench, nameservers: [local, other]}
autolaunch:"""
THEIRS = "PYRO:somebody@localhost:4321"
# Seconds that are promised, and seconds for a restart.
BACK_WITHIN = 5
# Seconds that `restart nameserver` waits for the names.
NAMES_BACK = 10
# 15 s are promised; a busy machine has some more.
LAPSED_WITHIN = 25
RECOVERY = 30


class Names:
    """The lab's two nameservers; the lab does not start `other`, which is elsewhere."""

    def __init__(self, lab):
        self.lab = lab
        self.ports = {"local": free_port(), "other": free_port()}

    def config(self, text=CONFIGURATION, reclaim="true", stop_grace=10):
        self.lab.config(text, reclaim=reclaim, stop_grace=stop_grace, **self.ports)

    def start(self, *arguments, **settings):
        self.config(*arguments, **settings)
        self.lab.up()

    def elsewhere(self, **settings):
        return stock_nameserver(port=self.ports["other"], **settings)

    def within(self, nameserver):
        """The names in a nameserver, its own left out."""
        with proxy(f"PYRO:Pyro.NameServer@localhost:{self.ports[nameserver]}") as found:
            return set(found.list()) - {"Pyro.NameServer"}

    def wait(self, nameserver, expected, timeout=BACK_WITHIN):
        def as_expected():
            return self.within(nameserver) == expected

        what = f"nameserver {nameserver} has {expected}"
        wait_for(as_expected, timeout, what, Pyro5.errors.PyroError)

    @contextlib.contextmanager
    def proxy(self, nameserver):
        with proxy(f"PYRO:Pyro.NameServer@localhost:{self.ports[nameserver]}") as found:
            yield found


def wait_for_line(lab, words):
    """The first line of the log with these words; the log is behind what clients see."""
    log = lab.home / "logs" / "ferrolab.log"
    lines = lambda: log.read_text().splitlines()  # noqa: E731
    found = lambda: next((line for line in lines() if words in line), None)  # noqa: E731
    return wait_for(found, RECOVERY, f"the log has {words!r}")


LOCAL = {"bench", "lab.supply", "lab.here"}
OTHER = {"bench", "lab.supply"}


@pytest.fixture
def names(lab):
    return Names(lab)


def test_a_nameserver_that_was_down_gets_the_names_when_it_comes(names):
    names.start()
    names.wait("local", LOCAL)
    warning = names.lab.entry("daemons", "bench")
    assert warning["status"] == "running" and "other" in warning["error"]
    for _ in range(2):  # down at first; then back, and empty
        with names.elsewhere():
            names.wait("other", OTHER)
    with names.elsewhere() as server:
        names.wait("other", OTHER)
        uri = names.lab.uri("lab.supply")
        with proxy(server.uris["nameserver"]) as nameserver:
            found = nameserver.lookup("lab.supply", return_metadata=True)
        assert found == (Pyro5.api.URI(uri), {"20 V"})
        wait_for(
            lambda: names.lab.entry("daemons", "bench")["error"] is None, RECOVERY, "no warning"
        )


def test_names_follow_a_nameserver_that_a_reload_moves(names):
    names.start()
    names.wait("local", LOCAL)
    names.ports["local"] = free_port()
    names.config()
    names.lab.run("reload")
    names.wait("local", LOCAL)


@pytest.mark.parametrize("storage", ["memory", "sql"])
@pytest.mark.parametrize("loses_its_disk", [False, True])
def test_names_are_back_when_a_nameserver_was_killed(names, storage, loses_its_disk):
    """With all of its names, or without any."""
    text = CONFIGURATION.replace("ns_port: $local}", f"ns_port: $local, storage: {storage}}}")
    names.start(text)
    names.wait("local", LOCAL)
    for _ in range(3):
        if loses_its_disk:
            for path in names.lab.home.rglob("nameserver-local.sql*"):
                path.unlink()
        before = names.lab.entry("nameservers", "local")["pid"]
        kill(before)

        def is_back(before=before):
            pid = names.lab.entry("nameservers", "local")["pid"]
            return pid not in (None, before) and names.within("local") is not None

        wait_for(is_back, RECOVERY, "the nameserver is back", Pyro5.errors.PyroError)
        names.wait("local", LOCAL)


def test_names_follow_a_nameserver_to_another_port(names):
    names.start()
    names.wait("local", LOCAL)
    names.lab.down()
    names.ports["local"] = free_port()
    names.start()
    names.wait("local", LOCAL)


def test_a_nameserver_that_forgets_single_names_is_told_again(names):
    names.start()
    names.wait("local", LOCAL)
    with names.proxy("local") as nameserver:
        assert nameserver.remove(prefix="lab.") == 2
        names.wait("local", LOCAL)
        nameserver.set_metadata("lab.supply", ["by hand"])
        nameserver.remove("lab.here")
        names.wait("local", LOCAL)
        assert nameserver.lookup("lab.supply", True)[1] == {"by hand"}


def test_a_daemon_that_stops_removes_its_names(names):
    with names.elsewhere():
        names.start()
        names.wait("other", OTHER)
        with names.proxy("other") as nameserver:
            nameserver.register("lab.supply", THEIRS)
            names.wait("other", OTHER)
        names.lab.down()
        assert names.within("other") <= {"lab.supply"}, "what is somebody else's may stay"


REMEMBERS = CONFIGURATION.replace("ns_port: $local}", "ns_port: $local, storage: sql}")


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_daemon_that_stops_while_its_nameserver_is_away_leaves_no_names(names, comes_back):
    names.start(REMEMBERS)
    names.wait("local", LOCAL)
    before = names.lab.uri("lab.supply")
    names.lab.run("stop", "nameserver", "local")
    names.lab.run("stop", "daemon", "bench")
    if comes_back:  # with the same URIs
        names.lab.run("start", "daemon", "bench")
        assert names.lab.uri("lab.supply") == before
    names.lab.run("start", "nameserver", "local")
    assert names.within("local") == LOCAL, "all names have a lease of grace"
    if not comes_back:
        names.wait("local", set(), LAPSED_WITHIN)
        return
    entry = lambda: names.lab.entry("daemons", "bench")["error"] or ""  # noqa: E731
    wait_for(lambda: "nameserver local" not in entry(), RECOVERY, "the daemon renews its names")
    with names.proxy("local") as nameserver:
        for _ in range(500):
            assert set(nameserver.list()) >= LOCAL, "a name of a living daemon was removed"


def test_names_in_a_nameserver_elsewhere_that_is_away_stay_and_the_log_says_so(names):
    """One attempt to remove them is made, and nothing waits for the nameserver after that."""
    storage = f"sql:{names.lab.files / 'elsewhere.sql'}"
    warning = lambda: names.lab.entry("daemons", "bench")["error"]  # noqa: E731
    with names.elsewhere(storage=storage):
        names.start()
        names.wait("other", OTHER, RECOVERY)
        wait_for(lambda: warning() is None, RECOVERY, "the daemon has reported its names")
    names.lab.run("stop", "daemon", "bench")
    log = names.lab.home / "logs" / "ferrolab.log"
    line = "cannot remove the names of a process that has ended"
    wait_for(lambda: line in log.read_text(), RECOVERY, "the log says what could not be done")
    with names.elsewhere(storage=storage):
        assert names.within("other") == OTHER
        names.lab.run("ns", "remove", "lab.supply", "--ns", f"localhost:{names.ports['other']}")
        names.lab.run("start", "daemon", "bench")
        names.wait("other", OTHER, RECOVERY)
        names.lab.run("stop", "daemon", "bench")
        names.wait("other", set(), RECOVERY)


def test_names_of_a_host_that_vanishes_lapse(names):
    """Supervisor and daemon are dead: nobody is left who could remove them."""
    with new_lab() as elsewhere:
        elsewhere.config(CONFIGURATION.split("daemons:")[0] + "autolaunch: {nameservers: [other]}\n", **names.ports)
        elsewhere.up()
        names.start()
        names.wait("other", OTHER, RECOVERY)
        with names.proxy("other") as nameserver:
            nameserver.register("not.ours", THEIRS)
        for process in names.lab.processes():
            kill(process.pid)
        names.wait("other", {"not.ours"}, LAPSED_WITHIN)
        log = elsewhere.home / "logs" / "ferrolab.log"

        def lapsed():
            return [line for line in log.read_text().splitlines() if "names have lapsed" in line]

        assert "bench, lab.supply" in wait_for(lapsed, RECOVERY, "the log says what has lapsed")[0]


# How long Pyro5's nameserver takes over each name: as good as nothing, or as on a busy host.
@pytest.mark.parametrize("pace", [0, 0.2])
def test_the_names_of_a_daemon_that_dies_go(names, pace):
    """From a nameserver that knows no leases at once; from ours when their lease ends."""
    # The next process registers nothing before its services are loaded.
    gate = names.lab.files / "gate"
    gate.touch()
    driver = f"""
import os, time
while not os.path.exists({str(gate)!r}):
    time.sleep(0.01)
class Slow: pass
"""
    (names.lab.files / "slow_to_load.py").write_text(driver)
    text = CONFIGURATION.replace('path: ["$drivers"]', f'path: ["{names.lab.files}"]')
    with names.elsewhere(pace=pace):
        names.start(text.replace("\nautolaunch:", SLOW))
        names.wait("local", LOCAL | {"lab.slow"}, RECOVERY)
        names.wait("other", OTHER | {"lab.slow"}, RECOVERY)
        with names.proxy("other") as nameserver:
            nameserver.register("not.ours", THEIRS)
        before = names.lab.entry("daemons", "bench")
        gate.unlink()
        kill(before["pid"])
        names.wait("other", {"not.ours"}, 2 + 6 * pace)
        names.wait("local", set(), LAPSED_WITHIN)
        gate.touch()
        names.wait("local", LOCAL | {"lab.slow"}, RECOVERY)
        names.wait("other", OTHER | {"lab.slow", "not.ours"}, RECOVERY)
        # The supervisor reads that the daemon serves after the nameservers have its names.
        after = wait_for(
            lambda: (now := names.lab.entry("daemons", "bench"))["uri"] and now, RECOVERY, "bench is up"
        )
        assert after["uri"] == before["uri"] and after["pid"] != before["pid"]


GONE = {
    "a service": (CONFIGURATION.replace("  lab.here:", "#"), LOCAL - {"lab.here"}),
    "a nameserver": (
        CONFIGURATION.replace("daemon: bench, nameservers: [local]", "daemon: bench"),
        LOCAL - {"lab.here"},
    ),
    "the daemon": (
        CONFIGURATION.split("daemons:")[0] + "autolaunch: {nameservers: [local]}\n",
        set(),
    ),
}


@pytest.mark.parametrize("gone", GONE)
def test_what_a_reload_drops_goes_even_if_its_process_must_be_killed(names, gone):
    names.start(stop_grace=1)
    names.wait("local", LOCAL)
    # It cannot take its names along: it does nothing any more.
    kill(names.lab.entry("daemons", "bench")["pid"], signal.SIGSTOP)
    text, expected = GONE[gone]
    names.config(text, stop_grace=1)
    names.lab.run("reload")
    names.wait("local", expected, RECOVERY)


def test_a_restarted_daemon_never_loses_a_name_again(names):
    """Nor meanwhile: the names outlive the dead process for as long as their lease."""
    names.start()
    names.wait("local", LOCAL)
    for _ in range(3):
        before = names.lab.entry("daemons", "bench")["pid"]
        kill(before)

        def restarted(before=before):
            assert names.within("local") >= LOCAL, "a name has gone with its process"
            entry = names.lab.entry("daemons", "bench")
            return entry["status"] == "running" and entry["pid"] != before

        wait_for(restarted, RECOVERY, "the daemon runs again")
        names.wait("local", LOCAL, RECOVERY)
        with names.proxy("local") as nameserver:
            for _ in range(500):
                assert set(nameserver.list()) >= LOCAL, "a name was lost again"


def test_a_name_that_is_overwritten_is_told_of_and_taken_back(names):
    names.start()
    names.wait("local", LOCAL)
    ours = names.lab.uri("lab.supply")
    with names.proxy("local") as nameserver:
        nameserver.register("lab.supply", THEIRS)
        wait_for(
            lambda: str(nameserver.lookup("lab.supply")) == ours, BACK_WITHIN, "it is taken back"
        )

    def told():
        error = names.lab.entry("daemons", "bench")["error"] or ""
        return THEIRS in error and ours in error and "taken back" in error

    wait_for(told, RECOVERY, "both URIs are shown")
    line = wait_for_line(names.lab, "has overwritten the name")
    assert THEIRS in line and ours in line


def test_a_name_that_is_overwritten_is_left_where_that_is_wanted(names):
    names.start(reclaim="false")
    names.wait("local", LOCAL)
    ours = names.lab.uri("lab.supply")

    def told():
        error = names.lab.entry("daemons", "bench")["error"] or ""
        return THEIRS in error and ours in error and "is left so" in error

    with names.proxy("local") as nameserver:
        nameserver.register("lab.supply", THEIRS)
        wait_for(told, RECOVERY, "both URIs are shown")
        nameserver.remove("lab.here")
        names.wait("local", LOCAL)
        assert str(nameserver.lookup("lab.supply")) == THEIRS
        nameserver.remove("lab.supply")
        names.wait("local", LOCAL)
        assert str(nameserver.lookup("lab.supply")) == ours
        wait_for(lambda: not told(), RECOVERY, "nothing is told any more")


RIVAL = """\
nameservers:
  local: {host: localhost, ns_port: $local}
daemons:
  other: {host: localhost}
services:
  lab.supply: {native: simulated.multimeter, daemon: other, nameservers: [local]}
autolaunch: {daemons: [other]}
"""


def test_a_name_that_two_running_daemons_want_stays_with_one(names):
    """With the one that had it, for as long as it lives; `status` of each names both."""
    names.start()
    names.wait("local", LOCAL)
    ours = names.lab.uri("lab.supply")
    with new_lab() as rival, names.proxy("local") as nameserver:
        rival.config(RIVAL, **names.ports)
        rival.up()
        theirs = rival.uri("lab.supply")

        def told(lab=rival):
            said = lab.run("status", check=False).stdout
            return "two running processes" in said and ours in said and theirs in said

        wait_for(told, RECOVERY, "the other lab's status names both")
        wait_for(lambda: told(names.lab), RECOVERY, "so does the status of the one that has it")
        # Renewals come every 2 s, and each would take the name.
        registered = names.lab.ps()["daemons"][0]["restarts"]
        for _ in range(100):
            assert str(nameserver.lookup("lab.supply")) == ours
            rival.run("ps")
        assert names.lab.ps()["daemons"][0]["restarts"] == registered
        names.lab.run("stop", "daemon", "bench")
        wait_for(
            lambda: str(nameserver.lookup("lab.supply")) == theirs, BACK_WITHIN, "the other has it now", Pyro5.errors.NamingError
        )
        wait_for(lambda: not told(), RECOVERY, "nothing is told any more")
        assert not told(names.lab)
        names.lab.run("start", "daemon", "bench")
        assert str(nameserver.lookup("lab.supply")) == theirs
        # A killed holder's lease runs on, but nobody is there.
        kill(rival.supervisor())
        rival.assert_nothing_left()
        names.lab.run("restart", "daemon", "bench")
        assert str(nameserver.lookup("lab.supply")) == ours


def test_autoclean_removes_what_does_not_answer(lab, tmp_path):
    """Only what fails for the whole period goes, and the log says why. Daemons that speak TLS, ours
    and Pyro5's, whatever they want of their clients, are alive."""
    port = free_port()
    certificate, key = Certificates(tmp_path).self_signed("server")
    text = """\
nameservers:
  local: {host: localhost, ns_port: $port, ns_autoclean: 3}
daemons:
  strict: {host: localhost, ssl: true, ssl_servercert: $cert, ssl_serverkey: $key, ssl_cacerts: $cert, ssl_requireclientcert: true}
services:
  s: {native: simulated.power_supply, daemon: strict}
autolaunch: {nameservers: [local], daemons: [strict]}
"""
    lab.config(text, port=port, cert=certificate, key=key)
    lab.up()
    tls = {"SSL": True, "SSL_SERVERCERT": str(certificate), "SSL_SERVERKEY": str(key)}
    with (
        Pyro5.api.locate_ns("localhost", port) as nameserver,
        stock_nameserver() as alive,
        stock_daemon({"mirror": Service("mirror", "Mirror")}, **tls) as threaded,
        stock_daemon(
            {"mirror": Service("mirror", "Mirror")}, SERVERTYPE="multiplex", **tls
        ) as multiplexed,
    ):
        nameserver.register("t.alive", alive.uris["nameserver"])
        nameserver.register("t.ours", lab.uri("s"))
        nameserver.register("t.threaded", threaded.uris["mirror"])
        nameserver.register("t.multiplexed", multiplexed.uris["mirror"])
        nameserver.register("t.very.dead", f"PYRO:object@localhost:{free_port()}")
        nameserver.register("t.name", "PYRONAME:t.alive")

        def gone():
            return "t.very.dead" not in nameserver.list()

        wait_for(gone, 40, "the dead one is gone")
        # It was registered last of those that are asked: all others have been asked as long.
        assert set(nameserver.list(prefix="t.")) == {
            *("t.alive", "t.ours", "t.threaded", "t.multiplexed", "t.name")
        }
    line = wait_for_line(lab, "autoclean: removed the name")
    assert "t.very.dead" in line
    assert int(re.search(r"no answer for (\d+)", line)[1]) >= 20, line


@pytest.mark.parametrize("storage", ["memory", "sql"])
def test_a_nameserver_that_is_restarted_by_hand_has_the_names_when_the_command_returns(names, storage):
    names.start(CONFIGURATION.replace("ns_port: $local}", f"ns_port: $local, storage: {storage}}}"))
    names.wait("local", LOCAL)
    for _ in range(3):
        begun = time.monotonic()
        names.lab.run("restart", "nameserver", "local")
        if time.monotonic() - begun < NAMES_BACK:
            assert names.within("local") == LOCAL
        names.wait("local", LOCAL)
