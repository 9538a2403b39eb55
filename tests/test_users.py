"""Users: login codes, tokens and certificates with stock clients, and removal."""

import contextlib
import json
import stat
import subprocess
import sys

import ferrolab
import Pyro5.api
import Pyro5.errors
import pytest
from harness import EXTENDED, NEVER, free_port, wait_for
from harness.lab import binary, new_lab
from harness.locks import later, own
from harness.networks import networks
from harness.users import User, connect_fails, identity, lab_with_logins, proxy, users

# Wrong codes, and wrong tokens.
WRONG = 10_000 if EXTENDED else 500
SERIALIZERS = ["serpent", "marshal", "json", "msgpack"]


@pytest.fixture(scope="module")
def running():
    with lab_with_logins() as lab:
        yield lab


@pytest.fixture
def user(running, tmp_path):
    with users(running, tmp_path) as make:
        yield make


def test_a_login_stores_keys_and_prints_the_lines_for_stock_clients(running, user):
    ada = user("ada", "--group", "optics")
    for file in ["authority.pem", "certificate.pem", "key.pem", "token", "login.json"]:
        mode = stat.S_IMODE(ada.file(file).stat().st_mode)
        assert mode == 0o600, file
    assert f"export PYRO_SSL_CLIENTKEY={ada.file('key.pem')}" in ada.said
    assert f'proxy._pyroHandshake = open("{ada.file("token")}").read()' in ada.said
    assert ada.token() not in ada.said
    where = ada.line.split()[2]
    shell = ada.run("login", where, "--shell").stdout.splitlines()
    assert [line.partition("=")[0] for line in shell] == [
        "export PYRO_SSL",
        "export PYRO_SSL_CACERTS",
        "export PYRO_SSL_CLIENTCERT",
        "export PYRO_SSL_CLIENTKEY",
    ]
    (row,) = json.loads(running.run("user", "list", "--json").stdout)
    assert (row["name"], row["groups"], len(row["logins"])) == ("ada", ["optics"], 1)
    assert "ada" in running.run("user", "list").stdout
    for path in (running.home / "state" / "access").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert ada.token().encode() not in content, path
        assert ada.line.split()[3].encode() not in content, path
        assert not path.is_file() or path.suffix == ".lock" or path.name == "ca.pem" or stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    logs = "".join(file.read_text() for file in (running.home / "logs").iterdir())
    assert ada.token() not in logs and ada.line.split()[3] not in logs


@pytest.mark.parametrize("service", ["lab.thread", "lab.turns", "lab.here"])
def test_a_token_says_who_a_stock_client_is(running, user, service):
    token = user("ada").token()
    for serializer in SERIALIZERS:
        for handshake in (token, {"token": token, "purpose": "alignment"}):
            with proxy(running, service, handshake, serializer) as made:
                assert identity(running, made) == "ada"
        for wrong in (token[:-1] + "x", token.upper() + "0", {"token": "x"}):
            with proxy(running, service, wrong, serializer) as made:
                connect_fails(made, "token is not known here")


def test_a_stock_script_with_four_variables_is_known(running, user, tmp_path):
    ada = user("ada")
    script = tmp_path / "stock.py"
    script.write_text(
        "import sys, Pyro5.api\n"
        "ns = Pyro5.api.locate_ns('localhost', int(sys.argv[1]))\n"
        "with Pyro5.api.Proxy(ns.lookup('lab.thread')) as stage:\n"
        "    stage.lock()\n"
        "    print(stage.lock_info()['identity'], stage.move(1) > 0)\n"
    )
    shell = ada.run("login", ada.line.split()[2], "--shell").stdout
    command = f"{shell}\nexec {sys.executable} {script} {running.port}"
    done = subprocess.run(
        ["sh", "-c", command], env=ada.environment(), capture_output=True, text=True, timeout=NEVER
    )
    assert done.stdout == "ada True\n", done.stderr


def test_our_own_clients_use_the_login_by_themselves(running, user, monkeypatch):
    ada = user("ada")
    uri = str(running.uri("lab.turns"))
    told = ada.run("call", "--uri", uri, "lock_info").stdout
    assert "'locked': False" in told
    with proxy(running, "lab.turns") as other:
        other.lock("somebody")
        refusal = ada.run("unlock", "--break", uri, "--reason", "why not", "--user", "me")
        assert "broken" in refusal.stdout
        with pytest.raises(ConnectionRefusedError, match=r"broken by me \(ada\) at"):
            other.position_now()
    monkeypatch.setenv("FERROLAB_HOME", str(ada.home))
    with ferrolab.Proxy(uri, timeout=NEVER) as made:
        with made.locked():
            assert running.entry("services", "lab.turns")
            with proxy(running, "lab.turns") as other:
                assert other.lock_info()["identity"] == "ada"


@pytest.mark.parametrize("way", ["token", "certificate"])
@pytest.mark.parametrize("service", ["lab.thread", "lab.turns"])
@pytest.mark.parametrize("change", ["remove", "rotate"])
def test_a_user_who_is_removed_is_out_within_a_second(running, user, way, service, change):
    ada = user("ada")
    tls = ada.tls if way == "certificate" else contextlib.nullcontext
    token = ada.token() if way == "token" else "hello"
    with proxy(running, service, token) as made, proxy(running, service, token) as again:
        with tls():
            made._pyroBind()
        assert made.lock() is True
        with proxy(running, service) as other:
            assert other.lock_info()["identity"] == "ada"
            running.run("user", change, "ada")
            lock_is_free = lambda: other.lock_info()["locked"] is False
            wait_for(lock_is_free, 1, "the lock of the removed user is free")
        with pytest.raises(PermissionError, match="withdrawn"):
            made.move(1)
        with tls():
            with pytest.raises(Pyro5.errors.CommunicationError):
                made.move(1)
            connect_fails(again, "withdrawn")


@pytest.mark.parametrize("way", ["token", "certificate"])
@pytest.mark.parametrize("daemon", ["runs", "has restarted", "is down"])
def test_a_lock_that_is_kept_for_a_removed_user_is_given_back(running, user, way, daemon):
    ada = user("ada")
    tls = ada.tls if way == "certificate" else contextlib.nullcontext
    with proxy(running, "lab.thread", ada.token() if way == "token" else "hello") as made, tls():
        assert made.lock("", None, "a token of the lock", 3600) is True
    with proxy(running, "lab.thread") as other:
        wait_for(lambda: other.lock_info().get("away"), NEVER, "the owner has gone")
    if daemon == "has restarted":
        running.run("restart", "daemon", "thread", "--force")
    elif daemon == "is down":
        running.run("stop", "daemon", "thread", "--force")
    if daemon != "is down":
        with proxy(running, "lab.thread") as other:
            info = other.lock_info()
            assert [info["locked"], info["identity"]] == [True, "ada"]
    running.run("user", "remove", "ada")
    running.run("start", "daemon", "thread")
    with proxy(running, "lab.thread") as other:
        wait_for(lambda: other.lock_info()["locked"] is False, NEVER, "the lock is free")


def test_a_batch_of_a_removed_user_ends_after_the_call_that_runs(running, user):
    gate, token = running.files / "gate of a batch", user("ada").token()
    made, again = proxy(running, "lab.plain", token), proxy(running, "lab.plain", token)
    again._pyroBind()

    def carry_out():
        batch = Pyro5.api.BatchProxy(own(made))
        batch.move(1)
        batch.wait_for(str(gate))
        batch.move(5)
        return batch()

    call = later(carry_out)
    with proxy(running, "lab.plain") as other:
        wait_for(lambda: other.move(0) == 1, NEVER, "the first call of the batch")
    running.run("user", "remove", "ada")
    wait_for(lambda: has_no_rights(again), NEVER, "the daemon knows")
    gate.touch()
    results = call()
    assert [next(results), next(results)] == [1, "waited"]
    with pytest.raises(PermissionError, match="withdrawn"):
        next(results)
    with proxy(running, "lab.plain") as other:
        assert other.move(0) == 1


def test_a_removed_user_has_no_say_during_a_long_call(running, user):
    ada = user("ada")
    gate = running.files / "gate of ada"
    made = proxy(running, "lab.thread", ada.token())
    made.lock()
    call = later(lambda: own(made).wait_for(str(gate)))
    with proxy(running, "lab.thread") as other:
        wait_for(lambda: "wait_for" in running.run("calls").stdout, NEVER, "the call")
        running.run("user", "remove", "ada")
        wait_for(lambda: not other.lock_info()["locked"], NEVER, "the lock is not ada's")
        gate.touch()
        assert call() == "waited"
        with pytest.raises(PermissionError):
            own(made).move(1)


def test_a_code_is_good_for_one_login(running, user, tmp_path):
    ada = user("ada")
    thief = User(running, tmp_path / "thief")
    again = thief.run(*ada.line.split()[1:], check=False)
    assert again.returncode == 1 and "used already" in again.text
    assert not (thief.home / "logins").exists()
    # Too old.
    line = running.run("user", "add", "ada").stdout
    file = running.home / "state" / "access" / "users.json"
    users = json.loads(file.read_text())
    (code,) = users["codes"]
    code["until"] = "2026-01-01T00:00:00Z"
    file.write_text(json.dumps(users))
    assert "older than 15 minutes" in thief.run(*line.split()[1:], check=False).text
    # A letter that was mistyped, of the secret and of the pin.
    line = running.run("user", "add", "ada").stdout.split()
    code = line[3]
    other = lambda at: code[:at] + ("0" if code[at] != "0" else "1") + code[at + 1 :]
    assert "not known here" in thief.run("login", line[2], other(3), check=False).text
    assert "no login code" in thief.run("login", line[2], code[:-1], check=False).text
    # A lab with another authority is found out, and nothing is stored.
    assert "not the lab that the code is of" in thief.run("login", line[2], other(40), check=False).text
    assert not (thief.home / "logins").exists()


def test_wrong_codes_and_tokens_are_refused(running, user):
    ada = user("ada")
    uri = f"PYRO:ferrolab.Login@localhost:{running.port}"
    request = dict.fromkeys(["nonce", "signing_request", "token", "proof"], "00")
    with Pyro5.api.Proxy(uri) as desk:
        for number in range(WRONG):
            with pytest.raises(PermissionError):
                desk.login({**request, "code": f"{number:032x}"})
        for wrong in (None, 5, "x", {}, {"code": "x" * 100_000}):
            with pytest.raises(ValueError):
                desk.login(wrong)
    accepted = 0
    for number in range(WRONG):
        made = proxy(running, "lab.thread", f"{number:032x}")
        try:
            made._pyroBind()
            accepted += 1
        except Pyro5.errors.CommunicationError:
            pass
        made._pyroRelease()
    assert accepted == 0
    # The log counts them, and does not have each.
    lines = running.run("logs", "show").stdout.splitlines()
    assert sum("token is not known here" in line for line in lines) < WRONG
    with proxy(running, "lab.thread", ada.token()) as made:
        assert identity(running, made) == "ada"


def test_a_token_is_refused_where_others_can_read_it():
    with networks() as (one, _), new_lab() as lab:
        lab.prefix = one.lab.prefix
        configuration = """\
version: "1.0"
nameservers:
  names: {host: public, ns_port: $port}
daemons:
  bench: {host: public, classname: LockableDaemon, nameservers: [names]}
services:
  lab.supply: {native: simulated.power_supply, daemon: bench, nameservers: [names]}
autolaunch: {nameservers: [names], daemons: [bench]}
"""
        lab.config(configuration, port=9090)
        lab.up()
        line = lab.run("user", "add", "ada", "--host", one.here).stdout.split()
        ada = User(lab, lab.folder / "ada")
        login = subprocess.run(
            [*one.client.prefix, binary(), *line[1:]], env=ada.environment(), capture_output=True, text=True
        )
        assert login.returncode == 0, login.stderr
        port = str(lab.uri("lab.supply")).rpartition(":")[2]
        script = (
            "import sys, Pyro5.api\n"
            f"supply = Pyro5.api.Proxy('PYRO:lab.supply@{one.here}:{port}')\n"
            "supply._pyroHandshake = sys.argv[1]\n"
            "try:\n"
            "    supply._pyroBind()\n"
            "    print('connected')\n"
            "except Exception as error:\n"
            "    print(error)\n"
        )

        def connect(token, prefix):
            command = [*prefix, sys.executable, "-c", script, token]
            return subprocess.run(command, capture_output=True, text=True, timeout=NEVER).stdout

        for prefix in (one.client.prefix, one.lab.prefix):
            told = connect(ada.token(), prefix)
            assert "a token is not accepted here" in told and "user rotate" in told
            # Whether it was a good one is not said.
            assert connect("x", prefix) == told
            assert connect("hello", prefix) == "connected\n"


GROUPS = """\
version: "1.0"
nameservers:
  names: {host: localhost, ns_port: $port}
daemons:
  bench: {nameservers: [names]}
services:
  lab.supply: {native: simulated.power_supply, daemon: bench, nameservers: [names]}
autolaunch: {nameservers: [names], daemons: [bench]}
access:
  localhost: view
  groups: {optics: []}
  grants:
    - {who: "group:optics", what: "lab.*", role: operate}
"""


def test_a_user_has_the_rights_of_a_group_and_anybody_may_log_in():
    with new_lab() as lab:
        lab.config(GROUPS, port=free_port())
        lab.up()
        users = {}
        for name, options in (("ada", ["--group", "optics"]), ("grace", [])):
            users[name] = User(lab, lab.folder / name)
            users[name].log_in(lab.run("user", "add", name, *options).stdout)
        for name, is_allowed in (("ada", True), ("grace", False)):
            told = lab.run("access", "test", name, "lab.supply.voltage=5", "--from", "localhost", check=False)
            assert (told.returncode == 0) is is_allowed, told.text
            with lab.proxy("lab.supply") as supply:
                supply._pyroHandshake = users[name].token()
                if is_allowed:
                    supply.voltage = 5
                else:
                    with pytest.raises(PermissionError, match="grace may not set lab.supply.voltage"):
                        supply.voltage = 5
        lab.run("user", "add", "grace", "--group", "optics")
        with lab.proxy("lab.supply") as supply:
            supply._pyroHandshake = users["grace"].token()

            def may_set():
                supply.voltage = 6
                return True

            wait_for(may_set, NEVER, "grace is in the group", ignoring=PermissionError)


def test_a_damaged_file_of_users_lets_nobody_in(user, running):
    ada = user("ada")
    file = running.home / "state" / "access" / "users.json"
    before = file.read_text()
    for damage in ("", "{", "[]"):
        file.write_text(damage)
        with proxy(running, "lab.thread", ada.token()) as made:
            wait_for(lambda made=made: is_refused(made), NEVER, "the token is refused")
        done = running.run("user", "list", check=False)
        assert done.returncode == 1 and "users.json" in done.text
    done = running.run("user", "add", "grace")
    assert "set aside" in done.text and file.exists()
    assert list(file.parent.glob("users.json.damaged-*"))
    with proxy(running, "lab.thread", ada.token()) as made:
        connect_fails(made, "token is not known")
    file.write_text(before)


def has_no_rights(made):
    """Whether the call of an open connection is refused."""
    try:
        made.move(0)
    except PermissionError:
        return True
    return False


def is_refused(made):
    try:
        made._pyroBind()
    except Pyro5.errors.CommunicationError:
        return True
    made._pyroRelease()
    return False


def test_unknown_and_impossible_names_are_refused(running, user):
    user("ada")
    for words, text in [
        (["user", "remove", "adda"], "did you mean `ada`"),
        (["user", "rotate", "bob"], "there is no user 'bob'"),
        (["user", "add", "a b"], "cannot be a name"),
        (["user", "add", "bob", "--group", "x/y"], "cannot be a name"),
        (["login", "localhost:1", "0" * 52], "cannot connect"),
        (["login", "nowhere.example"], "there is no login"),
    ]:
        done = running.run(*words, check=False)
        assert done.returncode == 1 and text in done.text, done.text
