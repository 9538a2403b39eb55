"""State files that are damaged, or not even files: the lab starts, names each and sets it aside; or
it refuses to start and names the file. Nothing hangs.

Every round damages all files at once, each in a way that the round's number decides.
"""

import json
import os
import random
import re
import socket
import stat
from pathlib import Path

import pytest
from harness import EXTENDED, free_port

LAB = """\
version: "1.0"
nameservers: {names: {host: localhost, ns_port: $ns_port, storage: sql}}
daemons:
  bench: {host: localhost, classname: LockableDaemon, nameservers: [names]}
services:
  lab.power: {native: simulated.power_supply, daemon: bench, nameservers: [names]}
autolaunch: {nameservers: [names], daemons: [bench]}
"""

# Files of JSON, which are named and set aside, and what they hold.
STATE = {
    "state/by-hand.json": {"started": ["daemon bench"], "stopped": [], "renamed": {}},
    "state/config-origin.json": {"current": {"folder": "/", "file": None}, "next": None},
    "state/config-good.json": {"origin": None, "text": 'version: "1.0"\n'},
    "state/daemon-bench.json": {"host": "localhost", "port": 4711},
    "state/locks-bench.json": {"lives": 3},
    "state/left-names.json": [{"nameserver": "names", "name": "lab.old"}],
}
# Files that are written only, or hold no state: named where they keep the lab from starting.
OTHERS = [
    "state/config.lock",
    "state/supervisor.lock",
    "state/lab-id",
    "logs/ferrolab.log",
    "logs/locks-bench.jsonl",
    "logs/supervisor.stderr",
]


def torn(path, sound, chance):
    path.write_bytes(sound[: chance.randrange(1, len(sound))])


def flipped(path, sound, chance):
    """A byte of the structure is another."""
    places = [at for at, byte in enumerate(sound) if byte in b'{}[]:"']
    at = chance.choice(places)
    path.write_bytes(sound[:at] + b"\xff" + sound[at + 1 :])


def other_shape(path, sound, chance):
    path.write_text(chance.choice(["5", "null", '"text"', "true", "[[]]", "[5]", "1e999", "{}{}"]))


def other_values(path, sound, chance):
    """The keys are right, and the values are of other kinds."""
    state = json.loads(sound)
    keyed = state[0] if isinstance(state, list) else state
    path.write_text(json.dumps([state] if keyed is state and chance.random() < 0.2
                               else {key: {"no": [-1]} for key in keyed}))


def deep(path, sound, chance):
    path.write_text(chance.choice(["[", '{"a":']) * 100_000)


def bytes_at_random(path, sound, chance):
    path.write_bytes(chance.randbytes(chance.randrange(1, 3000)))


def huge(path, sound, chance):
    path.touch()
    os.truncate(path, 1 << 40)


def folder(path, sound, chance):
    (path / "inner").mkdir(parents=True)


def bound_socket(path, sound, chance):
    # A socket's name is short: it is bound in its folder.
    before = os.open(".", os.O_RDONLY)
    try:
        os.chdir(path.parent)
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.fchdir(before)
        os.close(before)


CONTENTS = {
    "empty": lambda path, sound, chance: path.write_bytes(b""),
    "torn": torn,
    "flipped": flipped,
    "another shape": other_shape,
    "other values": other_values,
    "deep": deep,
    "random": bytes_at_random,
    "zeros": lambda path, sound, chance: path.write_bytes(bytes(4096)),
    "huge": huge,
}
KINDS = {
    "a directory": folder,
    "a FIFO": lambda path, sound, chance: os.mkfifo(path),
    "a socket": bound_socket,
    "a link to nothing": lambda path, sound, chance: path.symlink_to("/nowhere/at/all"),
    "a link to a device": lambda path, sound, chance: path.symlink_to("/dev/zero"),
    "a link to a directory": lambda path, sound, chance: path.symlink_to("/"),
    "a link to itself": lambda path, sound, chance: path.symlink_to(path.name),
}
ROUNDS = 5000 // len(STATE) + 1 if EXTENDED else 16


def remove(path):
    if path.is_dir() and not path.is_symlink():
        for inner in path.iterdir():
            remove(inner)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def damage(path, damages, sound, chance):
    remove(path)
    kind = chance.choice(list(damages))
    damages[kind](path, sound, chance)
    return kind


@pytest.mark.parametrize("part", range(4))
def test_damaged_state_files_are_named_and_set_aside(lab, part):
    lab.config(LAB, ns_port=free_port())
    home = Path(lab.home)
    lab.up()
    lab.down()
    for number in range(part, ROUNDS, 4):
        chance = random.Random(number)
        told = {
            name: damage(home / name, CONTENTS | KINDS, json.dumps(state).encode(), chance)
            for name, state in STATE.items()
        }
        lab.up()
        with lab.proxy("lab.power") as power:
            assert power.identify()
        said = lab.run("status", check=False).text + lab.run("logs", "show").text
        for name, kind in told.items():
            aside = rf"{re.escape(str(home / name))}.{{0,300}} set aside as .*{Path(name).name}\.damaged-"
            assert re.search(aside, said), f"round {number}: {name}, which was {kind}: {said}"
        assert "its URIs have changed, since its last port is not known" in said
        lab.down()
        for file in (home / "state").glob("*.damaged-*"):
            remove(file)


def test_what_is_no_file_blocks_nothing(lab):
    """A lab that cannot start for it says which file that is."""
    lab.config(LAB, ns_port=free_port())
    home = Path(lab.home)
    for name in [*OTHERS, "config.yaml", "state/nameserver-names.sql"]:
        path = home / name
        for kind, make in KINDS.items():
            kept = path.read_bytes() if path.is_file() else None
            remove(path)
            make(path, b"", random.Random(1))
            started = lab.up(check=False)
            said = started.text + lab.run("status", check=False).text
            said += lab.run("logs", "show", check=False).text
            lab.run("locks", "--history", check=False)
            assert started.returncode == 0 or path.name in said, f"{name} is {kind}: {said}"
            lab.run("down", check=False)
            lab.assert_nothing_left()
            remove(path)
            if kept is not None:
                path.write_bytes(kept)


def test_a_new_configuration_sets_a_damaged_origin_aside(lab):
    lab.config(LAB, ns_port=free_port())
    origin = Path(lab.home) / "state/config-origin.json"
    for make in [KINDS["a FIFO"], KINDS["a directory"], CONTENTS["empty"]]:
        remove(origin)
        make(origin, b"", random.Random(1))
        said = lab.config(LAB, ns_port=free_port()).text
        assert re.search(r"warning: the state file .*config-origin\.json .* set aside as ", said)
        assert origin.is_file() and "lab.yaml" in lab.run("info").text


def test_a_configuration_with_a_password_is_for_its_owner_only(lab):
    """The file, its last version, and what `config export` writes."""
    file = Path(lab.home) / "config.yaml"
    previous = file.with_name("config.yaml.previous")
    secret = LAB.replace("LockableDaemon,", "LockableDaemon, ssl_serverkeypasswd: ada,")
    lab.config(LAB, ns_port=free_port())
    file.chmod(0o644)

    def modes(*files):
        return [stat.S_IMODE(path.stat().st_mode) for path in files]

    lab.config(secret, ns_port=free_port())
    assert modes(file) == [0o600]
    lab.config(LAB, ns_port=free_port())
    assert modes(file, previous) == [0o600, 0o600]
    # Somebody writes it in place.
    file.write_text(file.read_text().replace("LockableDaemon,", "LockableDaemon, ssl_serverkeypasswd: ada,"))
    file.chmod(0o644)
    lab.up()
    assert modes(file) == [0o600]
    exported = lab.files / "exported.yaml"
    lab.run("config", "export", exported)
    assert modes(exported) == [0o600]
