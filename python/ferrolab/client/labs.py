"""Other labs that the configuration of this one names: `lab["optics/lab.laser"]`.

The lab says which there are (`labs` in its configuration). Each is asked at its nameserver, and
only when a name of it is looked up: one that is away troubles nobody else.
"""

import queue
import ssl
import threading
from time import monotonic

from . import logins
from .errors import CommunicationError, DaemonError, NamingError, RemoteError
from .nameserver import NAMESERVER, Names
from .uri import URI, is_own_address, leads_to_oneself

# The mark between the name of a lab and a name in it.
MARK = "/"
# Seconds after which a lab is away.
DEADLINE = 1.5
# Mark of the answer that says which labs there are.
_ROWS = object()


class OtherLab:
    """Another lab as it has answered: its `services`, or the reason why it is `away`."""

    __slots__ = ("away", "host", "name", "port", "services")

    def __init__(self, name, host, port):
        self.name, self.host, self.port = name, host, port
        self.away = None
        # URIs by the names that they have in that lab.
        self.services = {}

    def __repr__(self):
        state = "away: " + self.away if self.away else "{} services".format(len(self.services))
        return "<{} at {}:{}, {}>".format(self.name, self.host, self.port, state)


class ManyLabs:
    """A directory, with the names of other labs that it knows."""

    def __init__(self, directory, settings):
        self._directory = directory
        self._settings = settings
        self._rows = {}
        self.names = directory.names
        self.history = directory.history

    def __str__(self):
        return str(self._directory)

    def look_up(self, name):
        """The URI of a service here, or of one in another lab."""
        lab, own = self._split(name)
        if lab is None:
            return self._directory.look_up(name)
        try:
            _check_host(lab)
            tls = self._tls_of(lab)
            found = URI(_names_of(lab, tls, self._settings).look_up(own))
        except NamingError as error:
            raise NamingError("lab {}: {}".format(lab["name"], error)) from None
        if not _is_reachable(lab, found):
            # Here it would lead to whatever this host has at that port.
            raise NamingError(
                "lab {}: {} is reachable on its own host only: {}".format(lab["name"], own, found)
            )
        # Its services are called as its names are read.
        found.tls = tls
        found.is_elsewhere = True
        return found

    def own_name(self, name):
        """The name that a service has in its lab."""
        return self._split(name)[1]

    def is_elsewhere(self, name):
        """Whether a name is of another lab."""
        return self._split(name)[0] is not None

    def labs(self):
        """The other labs by name, asked side by side; one that does not answer is away.

        This lab is asked which there are at the same time: where it hangs, those of before count.
        """
        answers = queue.Queue()
        settings = self._settings.replaced(timeout=DEADLINE, connect_timeout=DEADLINE)
        labs = {}

        def start(target, *args):
            # The resolution of a name may wait for longer than anybody should.
            threading.Thread(target=target, args=args, daemon=True).start()

        def ask_all(rows):
            for row in rows:
                lab = OtherLab(row["name"], row["host"], row["port"])
                lab.away = "no answer within {} s".format(DEADLINE)
                labs[lab.name] = (row, lab)
                start(self._ask, row, settings, answers)

        def refresh():
            rows = self._rows
            try:
                rows = self._refresh()
            finally:
                answers.put((_ROWS, rows))

        start(refresh)
        ask_all(list(self._rows.values()))
        end = monotonic() + DEADLINE
        is_fresh, answered = False, set()
        while not is_fresh or not answered >= set(labs):
            try:
                answer = answers.get(timeout=max(0, end - monotonic()))
            except queue.Empty:
                break
            if answer[0] is _ROWS:
                is_fresh, rows = True, answer[1]
                for name in [name for name, (row, _) in labs.items() if rows.get(name) != row]:
                    del labs[name]
                    answered.discard(name)
                ask_all([row for name, row in rows.items() if name not in labs])
                continue
            row, services, away = answer
            known = labs.get(row["name"])
            if known is not None and known[0] == row:
                answered.add(row["name"])
                known[1].services, known[1].away = services, away
        return {name: lab for name, (_, lab) in labs.items()}

    def _ask(self, row, settings, answers):
        try:
            _check_host(row)
            found = _names_of(row, self._tls_of(row), settings).names()
        except Exception as error:  # whatever it is, this lab is away and the others are not
            answers.put((row, {}, str(error) or type(error).__name__))
        else:
            answers.put((row, dict(sorted(found.items())), None))

    def _tls_of(self, row):
        """The TLS context that a lab's entry asks for; none where the program has set its own."""
        if row.get("ssl") is True and not self._settings.has_tls_setting:
            return _context(row)
        return None

    def uri_of(self, name):
        """The URI of a service, by its name or itself."""
        return URI(name) if name.startswith("PYRO:") else self.look_up(name)

    def _split(self, name):
        """The row of the lab that a name is in, or None, and the name there."""
        lab, mark, own = name.partition(MARK)
        if not mark or name.startswith(("PYRO:", "PYRONAME:")):
            return None, name
        row = self._refresh().get(lab)
        return (row, own) if row else (None, name)

    def _refresh(self):
        """The labs that are named now; those of before while nobody says."""
        try:
            rows = self._directory.lab_rows()
        except (CommunicationError, DaemonError, NamingError, RemoteError, OSError):
            # An OSError is also what a nameserver answers whose supervisor hangs.
            return self._rows
        self._rows = {row["name"]: row for row in rows if _is_lab(row)}
        return self._rows


def _names_of(row, tls, settings):
    """The names of a lab, at its nameserver."""
    host = row["host"]
    host = "[{}]".format(host) if ":" in host else host
    uri = URI("PYRO:{}@{}:{}".format(NAMESERVER, host, row["port"]))
    uri.tls = tls
    uri.is_elsewhere = True
    return Names(uri, settings)


def _check_host(row):
    """Refuses a lab that another host names by an address which leads each host to itself."""
    if row.get("told_by"):
        raise NamingError(
            "it is named for {} only, as {}:{}".format(row["told_by"], row["host"], row["port"])
        )


def _is_reachable(row, uri):
    """Whether an address that another lab has told leads there from here."""
    if uri.protocol != "PYRO":
        return False
    if uri.sockname is None and not leads_to_oneself(uri.host):
        return True
    return leads_to_oneself(row["host"]) or is_own_address(row["host"])


def _is_lab(row):
    return (
        isinstance(row.get("name"), str)
        and isinstance(row.get("host"), str)
        and isinstance(row.get("port"), int)
    )


def _context(row):
    """TLS to a lab. Authority and certificate are each the entry's, else those of a login there.

    Of several logins on its host nothing says which is this lab's: the authorities of all are
    trusted, and no certificate is shown.
    """
    authority, certificate = row.get("ssl_cacerts"), row.get("ssl_clientcert")
    found = [] if authority and certificate else logins.find(row["host"], row["port"])
    try:
        authorities = [authority] if authority else [one.file("authority.pem") for one in found]
        context = ssl.create_default_context(cafile=authorities[0] if authorities else None)
        for further in authorities[1:]:
            context.load_verify_locations(cafile=further)
        if certificate:
            context.load_cert_chain(certificate, row.get("ssl_clientkey"))
        elif logins.only_one(found) is not None:
            logins.only_one(found).show_certificate(context)
        return context
    except (OSError, ValueError) as error:
        raise CommunicationError(
            "the files for TLS to the lab {} cannot be used: {}".format(row["name"], error)
        ) from error
