"""Other labs that the configuration of this one names: `lab["optics/lab.laser"]`.

The lab says which there are (`labs` in its configuration). Each is asked at its nameserver, and
only when a name of it is looked up: one that is away troubles nobody else.
"""

import queue
import ssl
import threading

from . import logins
from .errors import CommunicationError, DaemonError, NamingError
from .nameserver import NAMESERVER, Names
from .uri import URI

# The mark between the name of a lab and a name in it.
MARK = "/"
# Seconds after which a lab is away.
DEADLINE = 1.5


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
            return self._names_of(lab, self._settings).look_up(own)
        except NamingError as error:
            raise NamingError("lab {}: {}".format(lab["name"], error)) from None

    def own_name(self, name):
        """The name that a service has in its lab."""
        return self._split(name)[1]

    def is_elsewhere(self, name):
        """Whether a name is of another lab."""
        return self._split(name)[0] is not None

    def labs(self):
        """The other labs by name, asked side by side; one that does not answer is away."""
        answers = queue.Queue()
        settings = self._settings.replaced(timeout=DEADLINE, connect_timeout=DEADLINE)
        labs = {}
        for row in self._refresh().values():
            labs[row["name"]] = OtherLab(row["name"], row["host"], row["port"])
            labs[row["name"]].away = "no answer within {} s".format(DEADLINE)
            # The resolution of a name may wait for longer than anybody should.
            ask = threading.Thread(target=self._ask, args=(row, settings, answers), daemon=True)
            ask.start()
        end = threading.Timer(DEADLINE, answers.put, (None,))
        end.daemon = True
        end.start()
        for _ in labs:
            answer = answers.get()
            if answer is None:
                break
            name, services, away = answer
            labs[name].services, labs[name].away = services, away
        end.cancel()
        return labs

    def _ask(self, row, settings, answers):
        try:
            found = self._names_of(row, settings).names()
        except Exception as error:  # whatever it is, this lab is away and the others are not
            answers.put((row["name"], {}, str(error) or type(error).__name__))
        else:
            answers.put((row["name"], dict(sorted(found.items())), None))

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
        except (CommunicationError, DaemonError, NamingError):
            return self._rows
        self._rows = {row["name"]: row for row in rows if _is_lab(row)}
        return self._rows

    def _names_of(self, row, settings):
        host = row["host"]
        host = "[{}]".format(host) if ":" in host else host
        uri = URI("PYRO:{}@{}:{}".format(NAMESERVER, host, row["port"]))
        if row.get("ssl") is True and settings.tls is None:
            settings = settings.replaced(tls=_context(row))
        return Names(uri, settings)


def _is_lab(row):
    return (
        isinstance(row.get("name"), str)
        and isinstance(row.get("host"), str)
        and isinstance(row.get("port"), int)
    )


def _context(row):
    """TLS to a lab: with the files of its entry, else with those of a login there."""
    authority, certificate = row.get("ssl_cacerts"), row.get("ssl_clientcert")
    login = None if authority or certificate else logins.find(row["host"])
    try:
        if login is not None:
            return login.context()
        context = ssl.create_default_context(cafile=authority)
        if certificate:
            context.load_cert_chain(certificate, row.get("ssl_clientkey"))
        return context
    except (OSError, ValueError) as error:
        raise CommunicationError(
            "the files for TLS to the lab {} cannot be used: {}".format(row["name"], error)
        ) from error
