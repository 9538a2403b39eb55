"""Item streams that drive an instrument after a safe state, or at their end."""

import pytest
from harness import NEVER, wait_for

LAB = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {classname: $daemon}
services:
  lab.sweeper: {module: sweeps, classname: Sweeper, daemon: bench, instancemode: $mode, on_disconnect: ["off"],
                arguments: {record: "$record.sweeper", gate: "$gate"}}
  lab.other: {module: sweeps, classname: Sweeper, daemon: bench, instancemode: $mode,
              arguments: {record: "$record.other", gate: "$gate"}}
autolaunch: {daemons: [bench]}
"""


class Sweepers:
    def __init__(self, lab, **values):
        self.record, self.gate = lab.files / "record", lab.files / "gate"
        lab.config(LAB, record=str(self.record), gate=str(self.gate), **{"daemon": "LockableDaemon", **values})
        lab.up()

    def events(self, name):
        file = self.record.with_name(f"record.{name}")
        return file.read_text().split() if file.exists() else []


@pytest.mark.parametrize("mode", ["single", "session"])
def test_streams_that_hang_at_their_end_hold_up_those_of_no_other_service(lab, mode):
    sweepers = Sweepers(lab, mode=mode)
    with lab.proxy("lab.sweeper") as hanging, lab.proxy("lab.other") as other:
        streams = [hanging.sweep(True) for _ in range(20)]
        for stream in streams:
            assert next(stream) == 0
            stream.close()
        stream = other.sweep()
        assert next(stream) == 0
        stream.close()
        wait_for(lambda: sweepers.events("other") == ["driven", "ended"], 20, "the other service's stream ends")
        assert "ended" not in sweepers.events("sweeper")
        sweepers.gate.touch()
        wait_for(lambda: sweepers.events("sweeper").count("ended") == 20, 20, "all have ended")


def test_an_instrument_that_a_lingering_stream_drives_needs_its_safe_state_again(lab):
    """The stream goes on in another session than the one whose instrument it drives."""
    sweepers = Sweepers(lab, mode="session")
    events = lambda: sweepers.events("sweeper")
    with lab.proxy("lab.sweeper") as sweeper:
        stream = sweeper.sweep()
        assert next(stream) == 0
        sweeper._pyroRelease()
        wait_for(lambda: events() == ["driven", "off"], 20, "the first session's safe state")
        sweeper._pyroReconnect()
        assert next(stream) == 1
        sweeper._pyroRelease()
        wait_for(lambda: events() == ["driven", "off", "driven", "off"], 20, "the second session's safe state")


def test_a_stream_that_goes_on_after_the_owners_end_makes_the_safe_state_due_again(lab):
    """The owner's end has brought the one instrument to its safe state; the stream of a client
    that came before drives it again."""
    sweepers = Sweepers(lab, mode="single")
    events = lambda: sweepers.events("sweeper")
    kills = lambda: lab.run("logs", "show").stdout.count("the Python worker does not stop; killing it")
    for killed in range(5):
        sweepers.record.with_name("record.sweeper").unlink(missing_ok=True)
        lab.start_again("daemon", "bench")
        with lab.proxy("lab.sweeper") as reader:
            stream = reader.sweep()
            assert next(stream) == 0
            with lab.proxy("lab.sweeper") as ada:
                assert ada.lock("ada")
            wait_for(lambda: events() == ["driven", "off"], 20, "the owner's safe state")
            wait_for(lambda: reader.lock_info()["state"] == "free", 20, "the safe state has run")
            assert next(stream) == 1
            lab.run("stop", "daemon", "bench")
        if events().count("off") > 1:
            break
        # A stop gives a driver its time, and a busy machine may need more.
        wait_for(lambda seen=killed: kills() > seen, NEVER, "it was killed before its safe state")
    assert events()[:4] == ["driven", "off", "driven", "off"] or events() == ["driven", "off", "driven", "ended", "off"]
