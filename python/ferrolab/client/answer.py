"""Answers of a daemon as results: values, exceptions, streams. For connections of either kind."""

from . import message, serializers
from .class_dict import revive
from .errors import NOT_STARTED, RAN, CommunicationError, ProtocolError, SerializeError
from .uri import URI, leads_to_oneself, own_host_only


class StreamId(str):
    """The id of an item stream, as a server announces it."""

    __slots__ = ()


def read_value(answer, connection):
    """The result in an answer; its exception is raised.

    `connection` has the attributes `trusted`, `uri`, `settings` and `is_here`.
    """
    _, flags, number, notes, payload = answer
    if flags & message.ITEM_STREAM:
        # Flagged as an exception too, for clients that know no streams.
        return StreamId(message.read_annotations(notes).get("STRM", b"").decode("ascii", "replace"))
    value = serializers.decode(number, payload, connection.trusted)
    if b"__class__" in payload or b"base64" in payload:
        try:
            value = revive(value, lambda text: _proxy(text, connection))
        except (RecursionError, ValueError, TypeError) as error:
            raise SerializeError(
                "the call has run, but its result is not readable: {}".format(error), outcome=RAN
            ) from error
    if flags & message.EXCEPTION:
        if isinstance(value, BaseException):
            if flags & message.NOT_BEGUN and isinstance(value, CommunicationError):
                value.outcome = NOT_STARTED
            raise value
        raise ProtocolError(
            "the server sent an exception that is none: {!r}".format(value), outcome=RAN
        )
    return value


def _proxy(text, connection):
    """The proxy for a URI from the server; only its own objects get the handshake's data."""
    uri, settings = URI(text), connection.settings
    if uri.location == connection.uri.location:
        uri = connection.uri.beside(uri.object)
    else:
        settings = settings.replaced(handshake="hello", safe=())
        if connection.uri.is_elsewhere:
            _check_way(uri, connection)
            uri.is_elsewhere = True
            uri.told_by = None if connection.is_here else connection.uri.location
    if settings.make_proxy is None:
        return uri
    return settings.make_proxy(uri, settings)


def _check_way(uri, told_by):
    """Refuses an address that a connection to another lab has told, and that leads here.

    Where a name leads is seen at its connection (`transport.check_way`).
    """
    is_its_own = uri.sockname is not None or uri.host is not None and leads_to_oneself(uri.host)
    if uri.protocol != "PYRO" or is_its_own and not told_by.is_here:
        raise ValueError(own_host_only(uri, told_by.uri.location))


def refuse_handshake(uri, reason):
    """The error of a handshake that the daemon has refused."""
    reason = reason if isinstance(reason, str) else repr(reason)
    return CommunicationError(
        "{} refuses the connection: {}".format(uri.location, reason), outcome=NOT_STARTED
    )
