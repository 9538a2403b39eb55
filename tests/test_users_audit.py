"""Users in the audit: changes, logins, and clients that were refused."""

import json

from harness import NEVER, wait_for
from harness.certificates import tls_client
from harness.users import User, connect_fails, lab_with_logins, proxy


def test_users_logins_and_refused_clients_are_in_the_audit(tmp_path):
    with lab_with_logins() as lab:
        ada = User(lab, tmp_path / "ada")
        line = lab.run("user", "add", "ada", "--group", "optics").stdout
        ada.log_in(line)
        ada.run(*line.split()[1:], check=False)
        lab.run("user", "rotate", "ada")
        lab.run("user", "remove", "ada")
        lab.run("user", "remove", "eve", check=False)
        for number in range(60):
            connect_fails(proxy(lab, "lab.thread", f"{number:032x}"), "not known here")
        with tls_client(ada.file("authority.pem"), ada.file("certificate.pem"), ada.file("key.pem")):
            connect_fails(proxy(lab, "lab.turns"), "withdrawn")
        read = lambda: [line for line in json.loads(lab.run("audit", "--json").stdout) if "who" in line]
        wait_for(lambda: len(read()) >= 8, NEVER, "the lines")
        found = {}
        for line in read():
            found.setdefault(line["action"], []).append((line["who"], line.get("member"), line["outcome"]))
        me = found["user add"][0][0]
        assert found["user add"] == [(me, "ada --group optics", "done")]
        assert found["user rotate"] == [(me, "ada", "done")]
        assert [line[1:] for line in found["user remove"]][0] == ("ada", "done")
        assert found["user remove"][1][2].startswith("refused: there is no user 'eve'")
        login, refused = found["login"]
        assert login == ("ada", None, "done") and refused[0] == "anonymous@127.0.0.1"
        assert "not known here" in refused[2]
        # One line of an address, whatever it tries.
        assert [line[0] for line in found["connect"]] == ["anonymous@127.0.0.1"] * 2
        assert all("withdrawn" in line[2] for line in found["connect"])
        lab.run("down")
        counts = [line for line in json.loads(lab.run("audit", "--json").stdout) if line["action"] == "unrecorded"]
        assert any("59 more" in line["outcome"] for line in counts), counts
        assert "are as they were written" in lab.run("audit", "--verify").stdout
