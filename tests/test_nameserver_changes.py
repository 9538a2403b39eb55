"""The log names the client that removes or overwrites a name."""

import json

import Pyro5.api
from harness import free_port, proxy, wait_for


def test_the_log_says_who_took_a_name(lab):
    port = free_port()
    lab.config(f"nameservers: {{local: {{ns_port: {port}}}}}\nautolaunch: {{nameservers: [local]}}")
    lab.up()
    one, other = "PYRO:one@localhost:1", "PYRO:other@localhost:2"
    with proxy(f"PYRO:Pyro.NameServer@localhost:{port}") as nameserver:
        for uri in (one, one, other):
            nameserver.register("t.taken", uri)
        nameserver.register("t.gone", one)
        nameserver.remove("t.gone")
        batch = Pyro5.api.BatchProxy(nameserver)
        batch.register("t.taken", one)
        list(batch())
        nameserver.renew_leases([("t.taken", other, [], "seize")], 60.0)
        nameserver.remove(prefix="t.")
        peer = "%s:%d" % nameserver._pyroConnection.sock.getsockname()[:2]
    told = lambda: [
        (row["names"], row["count"], row["by"])
        for line in (lab.home / "logs/ferrolab.log").read_text().splitlines()
        if (row := json.loads(line)).get("message") == "names were removed or overwritten"
    ]
    wait_for(lambda: len(told()) >= 5, 10, "the log has it")
    assert told() == [
        (f"t.taken ({one}, now {other})", 1, peer),
        (f"t.gone ({one})", 1, peer),
        (f"t.taken ({other}, now {one})", 1, peer),
        (f"t.taken ({one}, now {other})", 1, peer),
        (f"t.taken ({other})", 1, peer),
    ]
