"""Roles of clients: the rules of `access`, met by stock Pyro5 clients.

The matrix of all uses is in `crates/remote/tests/behaviour/access`; here are Python drivers, stock
clients, reloads and nameservers. All clients are on this host: `localhost` gives them their role.
"""

import contextlib
import subprocess

import pytest
import Pyro5.api
import Pyro5.errors
from harness import NEVER, free_port, wait_for
from harness.lab import binary, new_lab

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
nameservers: {local: {host: localhost, ns_port: $ns_port}}
daemons:
  bench: {classname: LockableDaemon, nameservers: [local]}
  turns: {classname: LockableDaemon, servertype: multiplex}
  plain: {}
services:
  lab.stage: {$stage, daemon: bench, nameservers: [local]}
  lab.turns: {$stage, daemon: turns}
  lab.plain: {$stage, daemon: plain}
autolaunch: {nameservers: [local], daemons: [bench, turns, plain]}
$access
"""
STAGE = "module: stage, classname: Stage, instancemode: single, read_while_locked: [temperature]"
SERVICES = ["lab.stage", "lab.turns", "lab.plain"]
SERIALIZERS = ["serpent", "marshal", "json", "msgpack"]


def configure(lab, access, check=True):
    return lab.config(CONFIGURATION, stage=STAGE, ns_port=lab.ns_port, access=access, check=check)


def take_up(lab, access):
    configure(lab, access)
    result = lab.run("reload", check=False)
    assert result.returncode == 0, result.text


@pytest.fixture(scope="module")
def running():
    with new_lab() as lab:
        lab.ns_port = free_port()
        configure(lab, "")
        lab.up()
        yield lab


@contextlib.contextmanager
def open_to_all(lab, service, **settings):
    """A proxy that has connected, and knows its members, while it was allowed."""
    take_up(lab, "")
    with lab.proxy(service, **settings) as proxy:
        proxy._pyroBind()
        yield proxy


def batch(proxy):
    calls = Pyro5.api.BatchProxy(proxy)
    calls.temperature()
    calls.move()
    return list(calls())


def item(proxy):
    return next(proxy.count(3))


def set_position(proxy):
    proxy.position = 5


# Uses by the role that each takes.
USES = {
    "view": {
        "a property": lambda proxy: proxy.position,
        "a method that reads": lambda proxy: proxy.temperature(),
        "the lock's owner": lambda proxy: proxy.islocked(),
    },
    "operate": {
        "a method": lambda proxy: proxy.move(),
        "a property that is set": set_position,
        "a batch": batch,
        "a stream": item,
    },
}


@pytest.mark.parametrize("service", SERVICES)
def test_each_role_may_do_what_it_may(running, service):
    with contextlib.ExitStack() as stack:
        proxies = [stack.enter_context(open_to_all(running, service, serializer=name)) for name in SERIALIZERS]
        for role, allowed in [("none", []), ("view", ["view"]), ("operate", ["view", "operate"])]:
            take_up(running, f"access: {{localhost: {role}}}")
            for proxy, (needed, uses) in ((proxy, row) for proxy in proxies for row in USES.items()):
                proxy._pyroClaimOwnership()
                for name, use in uses.items():
                    has_lock = service != "lab.plain"
                    # The marshal serializer of Pyro5 cannot send a property or a batch.
                    has_properties = proxy._pyroSerializer != "marshal"
                    if (name == "the lock's owner" and not has_lock) or (name.split()[1] in ("property", "batch") and not has_properties):
                        continue
                    if needed in allowed:
                        use(proxy)
                        continue
                    with pytest.raises(PermissionError) as refused:
                        use(proxy)
                    said = str(refused.value)
                    assert "that needs the role" in said and "anonymous@127.0.0.1 may not" in said, (name, said)
    take_up(running, "")


def test_a_reload_restarts_nothing_and_a_broken_section_keeps_the_one_in_force(running):
    before = running.ps()
    with open_to_all(running, "lab.stage") as proxy:
        take_up(running, "access: {localhost: view}")
        with pytest.raises(PermissionError):
            proxy.move()
        broken = configure(running, "access: {localhost: veiw}", check=False)
        assert broken.returncode == 1 and "lab.yaml:13:" in broken.text and "did you mean `view`?" in broken.text
        # Written into the lab's own copy, by hand.
        copy = running.home / "config.yaml"
        copy.write_text(copy.read_text().replace("localhost: view", "localhost: veiw"))
        reload = running.run("reload", check=False)
        assert reload.returncode == 1 and ":13:" in reload.text, reload.text
        with pytest.raises(PermissionError):
            proxy.move()
        take_up(running, "")
        assert proxy.move() > 0
    after = running.ps()
    for kind in ["daemons", "nameservers"]:
        assert [row["pid"] for row in before[kind]] == [row["pid"] for row in after[kind]]


def test_a_oneway_call_that_is_refused_is_in_the_log(running):
    with open_to_all(running, "lab.stage") as proxy:
        take_up(running, "access: {localhost: view}")
        before = proxy.position

        def logged():
            # Of many refusals within seconds some are in the log, and the number of the others.
            proxy.kick()
            return "may not call lab.stage.kick" in running.run("logs", "show").stdout

        wait_for(logged, NEVER, "the log says it")
        assert proxy.position == before
    take_up(running, "")


def test_objects_that_a_driver_registers_have_its_roles(running):
    with open_to_all(running, "lab.stage") as proxy:
        with proxy.axis() as axis:
            assert axis.turn() == "turned"
            take_up(running, 'access: {localhost: view, grants: [{who: "*", what: lab.plain, role: operate}]}')
            with pytest.raises(PermissionError, match="may not call"):
                axis.turn()
            take_up(running, 'access: {localhost: view, grants: [{who: "*", what: lab.stage, role: operate}]}')
            assert axis.turn() == "turned"
    take_up(running, "")


def test_a_grant_with_the_lock_counts_while_it_is_held(running):
    grant = 'access: {localhost: view, grants: [{who: anonymous, what: "lab.*", role: operate, when: locked}]}'
    for service in ["lab.stage", "lab.turns"]:
        with open_to_all(running, service) as ada, running.proxy(service) as bob:
            take_up(running, grant)
            with pytest.raises(PermissionError, match=r"only while holding the lock of lab\.\w+: call lock\(\) first"):
                ada.move()
            assert ada.lock("ada") is True
            ada.move()
            with pytest.raises(PermissionError):
                bob.move()
            with pytest.raises(ConnectionRefusedError):
                bob.lock()
            ada.unlock()
            with pytest.raises(PermissionError):
                ada.move()
    take_up(running, "")


def test_a_lock_is_broken_by_an_admin(running):
    with open_to_all(running, "lab.stage") as ada:
        ada.lock("ada")
        take_up(running, "access: {localhost: operate}")
        refused = running.run("unlock", "lab.stage", "--break", "--reason", "lunch", check=False)
        assert refused.returncode == 1 and "needs the role admin" in refused.text, refused.text
        assert ada.move() > 0
        take_up(running, "access: {}")
        running.run("unlock", "lab.stage", "--break", "--reason", "lunch")
        with pytest.raises(ConnectionRefusedError, match="broken by"):
            ada.move()
    take_up(running, "")


def test_a_client_without_a_role_gets_no_connection(running):
    take_up(running, "access: {localhost: none}")
    with running.proxy("lab.stage") as proxy, pytest.raises(Pyro5.errors.CommunicationError, match="may not look at lab.stage"):
        proxy._pyroBind()
    with Pyro5.api.Proxy(running.uri("lab.stage").replace("lab.stage@", "Pyro.Daemon@")) as daemon:
        daemon.ping()
        listed = daemon.registered()
        assert "lab.stage" not in listed and "Pyro.Daemon" in listed
        with pytest.raises(PermissionError):
            daemon.get_metadata("lab.stage")
    take_up(running, "")


def test_names_belong_to_their_owners(running):
    take_up(running, "access: {localhost: view}")
    # The rules are about clients; the lab's own daemons register all the same.
    running.wait_for_names(running.ns_port, {"lab.stage", "bench"})
    with Pyro5.api.locate_ns("localhost", running.ns_port) as names:
        for use in (
            lambda: names.register("mine", "PYRO:mine@localhost:1"),
            lambda: names.register("lab.stage", "PYRO:mine@localhost:1"),
            lambda: names.remove("lab.stage"),
            lambda: names.remove(prefix="lab."),
            lambda: names.set_metadata("lab.stage", {"mine"}),
        ):
            with pytest.raises(PermissionError, match="that needs the role"):
                use()
        assert names.lookup("lab.stage")
    take_up(running, "access: {localhost: operate}")
    running.wait_for_names(running.ns_port, {"lab.stage", "bench"})
    with Pyro5.api.locate_ns("localhost", running.ns_port) as names:
        names.register("mine", "PYRO:mine@localhost:1")
        names.register("mine", "PYRO:mine@localhost:2")
        with pytest.raises(PermissionError):
            names.remove("lab.stage")
        assert names.remove("mine") == 1
    take_up(running, "")


def test_users_have_roles_by_name_and_by_group(running, tmp_path):
    machine = tmp_path / "ada"
    machine.mkdir(mode=0o700)
    line = running.run("user", "add", "ada", "--group", "optics").stdout.split()
    environment = {**running.environment(), "FERROLAB_HOME": str(machine)}
    subprocess.run([binary(), *line[1:]], env=environment, check=True, capture_output=True, timeout=NEVER)
    (login,) = (machine / "logins").iterdir()

    def grant(who):
        return f"access: {{localhost: view, grants: [{{who: {who}, what: lab.stage, role: operate}}]}}"

    def check(text):
        values = {"stage": STAGE, "ns_port": running.ns_port, "access": text}
        return running.run("config", "check", running.write(CONFIGURATION, **values), check=False)

    try:
        with running.proxy("lab.stage") as ada, running.proxy("lab.stage") as eve:
            ada._pyroHandshake = (login / "token").read_text()
            for who in ["ada", "group:optics"]:
                take_up(running, grant(who))
                assert ada.move() > 0
                with pytest.raises(PermissionError, match="anonymous@127.0.0.1 may not call lab.stage.move"):
                    eve.move()
                said = running.run("access", "test", "ada", "lab.stage.move()").text
                assert f"config.yaml:13: {{who: {who}, what: lab.stage, role: operate}}" in said, said
            configure(running, grant("group:night"))
            refused = running.run("reload", check=False)
            assert refused.returncode == 1 and "night" in refused.text, refused.text
            # The rules in force stay.
            assert ada.move() > 0
            running.run("user", "add", "bob", "--group", "night")
            running.run("reload")
            with pytest.raises(PermissionError, match="ada may not call lab.stage.move"):
                ada.move()
            # A further group counts on the connection that is open.
            running.run("user", "add", "ada", "--group", "night")

            def moves():
                with contextlib.suppress(PermissionError):
                    return ada.move()

            wait_for(moves, NEVER, "the group counts")
        misspelt = check(grant("adda"))
        assert misspelt.returncode == 1 and "did you mean `ada`?" in misspelt.text, misspelt.text
        assert check(grant("group:night")).returncode == 0
    finally:
        running.run("user", "remove", "ada")
        running.run("user", "remove", "bob", check=False)
        take_up(running, "")
