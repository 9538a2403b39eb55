"""The calls of one channel: reads requests, carries them out, answers.

`protocol.rs` of the daemon's crate `py-worker` describes the frames. The thread that reads a
request carries it out and writes its answer; a oneway call begins on a thread for itself.
"""

import functools
from collections.abc import Iterator

from ..client import arrays
from . import (
    allocator,
    convert,
    exceptions,
    fast_encode,
    first_look,
    framing,
    health,
    pyro,
    shutdown,
    stdio,
)
from .complaints import Complaints
from .exception_log import log_unreadable
from .frame_kinds import (
    ABORT,
    BATCH,
    BEGUN,
    BIND,
    CALL,
    CLOSE,
    FINISH,
    FLAG_ARRAYS,
    FLAG_KEEPSERIALIZED,
    FLAG_NO_INSTANCE,
    FLAG_ONEWAY,
    FLAG_SERPENT_RULES,
    GET,
    HEALTH,
    LEAVE,
    MARSHAL,
    NEXT,
    NO_INSTANCE,
    NOT_MADE,
    RAISED,
    REST,
    SERPENT,
    SET,
    STREAM,
    UNBIND,
    UNPIN,
    VALUE,
    WRITTEN,
)
from .logging_bridge import log
from .oneways import OnewayCall
from .rules import CONTAINERS

oneway_errors = Complaints("errors in oneway calls")


def _log_error(text):
    """Logs the current exception; one that cannot be logged is not worth a channel."""
    try:
        log.error("%s", text, exc_info=True)
    except BaseException:
        pass


def _nothing():
    pass


def _is_callback(method):
    """Whether errors of a method are logged here; one that cannot say so has none logged."""
    try:
        return bool(getattr(method, "_pyroCallback", False))
    except Exception:
        # A stand-in for a method elsewhere asks there. The driver's exception goes to the client.
        return False


class Channel:
    """One channel: the calls of a session, one after the other."""

    def __init__(self, host, answers, requests):
        self._host = host
        self._answers = answers
        self._requests = requests
        self._reader = framing.Reader(requests)
        self._number = None
        self._session = None
        self._abandoned = False

    def fileno(self):
        """The number of the file descriptor that requests come from."""
        return self._requests.fileno()

    def serve(self):
        """Carries out requests until the daemon closes the channel."""
        try:
            while self.serve_one():
                pass
        finally:
            self.close()

    def serve_one(self):
        """Reads one request and answers it. Returns whether there can be more.

        A request that has been read is answered, or else the channel ends, also after an exception:
        a daemon that waits for an answer would wait for ever.
        """
        try:
            request = self._reader.read()
        except OSError:
            return False
        except framing.Unreadable as error:
            # Numpy of another version or platform than the client's.
            return self._refuse_arrays(error)
        except BaseException:
            # nobody knows where the next request begins
            _log_error("a request could not be read, and its channel ends")
            return False
        if request is None:
            return False
        try:
            kind = request[0]
            answer = self._carry_out(*request) if kind <= BATCH else self._answer(kind, request)
        except BaseException as error:
            answer = self._lost(error, request)
        if self._abandoned:
            # A call that has returned in a forked child has nobody to answer. Nothing else may be
            # done here: what is open belongs to the worker.
            shutdown.leave()
        if answer is None:
            return True
        try:
            data = self._encode(answer, request)
            # Both may be large, and the daemon reads the answer when it has memory for it.
            answer = request = None
            if type(data) is bytes:
                framing.send_encoded(self._answers, data)
            elif type(data) is arrays.Packed:
                framing.send_packed(self._answers, data)
            else:
                framing.send_parts(self._answers, *data)
            if self._reader.had_huge:
                self._reader.had_huge = False
                allocator.trim_later()
            return True
        except OSError:
            return False
        except BaseException:
            _log_error("an answer could not be written, and its channel ends")
            return False

    def _refuse_arrays(self, error):
        text = "an array of the request cannot be made: {}".format(error)
        refused = exceptions.exception(pyro.error_class("SerializeError")(text), SERPENT)
        framing.send_frame(self._answers, (RAISED, refused))
        return True

    def serve_ready(self):
        """Answers what has arrived. Returns whether there can be more."""
        while self.serve_one():
            if not self._reader.buffered():
                return True
        return False

    def _encode(self, answer, request):
        """The content of an answer's frame: bytes, or their beginning and the rest."""
        try:
            if answer[0] == WRITTEN:
                data = answer[1]
                size = len(data[0]) + len(data[1])
            else:
                data = framing.encode_answer(answer)
                size = len(data)
            if size >= framing.WORTH_RETURNING:
                self._reader.had_huge = True
            if size > self._host.max_answer_bytes:
                # Its decoding would hold up everybody, for something that no message holds.
                data = None
                raise ValueError(
                    "it takes {} bytes, and {} are allowed here; `max_message_size` of the "
                    "daemon sets that".format(size, self._host.max_answer_bytes)
                )
        except BaseException as error:
            # no memory, or somebody else has changed the result since it was looked at
            data = framing.encode(self._lost(error, request))
        return data

    def _lost(self, error, request):
        """The answer to a request that failed outside the driver; None if none is awaited."""
        kind = request[0]
        if kind in (CLOSE, BIND, UNBIND, UNPIN):
            _log_error("an error outside of calls")
            return None
        if kind in (NEXT, FINISH):
            what = "an item stream"
        else:
            what = "'{}' of service '{}'".format(request[2], request[1])
        if isinstance(error, ValueError):
            text = "the result of {} cannot be sent: {}".format(what, exceptions.text(error))
        else:
            text = "{} raised {}: {}".format(what, type(error).__name__, exceptions.text(error))
        serializer = request[5] if kind <= BATCH else request[2] if kind == NEXT else SERPENT
        return RAISED, exceptions.exception(pyro.error_class("DaemonError")(text), serializer)

    def shut(self):
        """Lets no more requests in; the one that is being carried out is still answered."""
        try:
            self._requests.shutdown(0)
        except OSError:
            pass

    def close(self):
        """Ends the channel; its session ends with its last channel."""
        try:
            self._close_sockets()
        finally:
            self._unbind()

    def abandon(self):
        """In a forked child: the sockets and the session are the worker's, instruments too."""
        self._session = None
        self._abandoned = True
        self._close_sockets()

    def _close_sockets(self):
        # A driver may have closed one of the numbers.
        try:
            self._requests.close()
        finally:
            self._answers.close()

    def _unbind(self):
        session, self._session = self._session, None
        if session is not None:
            self._host.sessions.unbind(self._number, session)

    def _answer(self, kind, request):
        host = self._host
        if kind == NEXT:
            _, stream, serializer, flags, seq, correlation, annotations = request
            context = flags, seq, correlation, annotations
            return host.streams.next(self._session, host.daemon, stream, serializer, *context)
        if kind == CLOSE:
            _, stream = request
            host.streams.close(stream)
        elif kind == BIND:
            _, number, address, own_address, object_id = request
            self._unbind()
            self._number = number
            self._session = host.sessions.bind(number, address, own_address, object_id)
        elif kind == UNBIND:
            self._unbind()
        elif kind == REST:
            _, name, member, makes_instance = request
            return self._to_safe_state(
                name,
                member,
                lambda service: service.to_rest(self._session, member, makes_instance),
            )
        elif kind == UNPIN:
            _, pin = request
            self._session.unpin(pin)
        elif kind == FINISH:
            _, stream = request
            host.streams.close(stream)
            return VALUE, None
        elif kind == LEAVE:
            _, name, rests = request
            service = host.services.get(name)
            if service is not None:
                service.leave(self._session, rests)
            return VALUE, None
        elif kind == ABORT:
            _, name, member, sessions = request
            chosen = host.sessions.chosen(sessions)
            return self._to_safe_state(name, member, lambda service: service.abort(chosen, member))
        elif kind == HEALTH:
            _, name, member, replaces = request
            health.begin(host, (name, member, replaces), self._finish_check)
        return None

    def _finish_check(self, is_well, error):
        if error is None:
            answer = VALUE, is_well
        else:
            answer = RAISED, exceptions.exception(error, SERPENT, None, self._host.daemon)
        framing.send_frame(self._answers, answer)

    def _to_safe_state(self, name, member, call):
        stdio.current.service = name
        try:
            service = self._host.services.get(name)
            if service is None:
                return VALUE, "none"
            return VALUE, call(service)
        except Exception as error:
            log.warning("%s() failed when it was to make it safe", member, exc_info=True)
            return RAISED, exceptions.exception(error, SERPENT)
        finally:
            if stdio.current.partial:
                stdio.end_of_call()

    def _carry_out(
        self,
        kind,
        name,
        member,
        args,
        kwargs,
        serializer,
        flags,
        seq,
        correlation,
        annotations,
        has_classes,
        pin=0,
        oneway=0,
    ):
        host, session, current = self._host, self._session, stdio.current
        current.service = name
        method = None
        if flags >= FLAG_NO_INSTANCE:
            if not host.has_instance(name, session):
                return (NO_INSTANCE,)
            flags -= FLAG_NO_INSTANCE
        try:
            context = pyro.fill_context(
                session.connection,
                session.address,
                serializer,
                flags,
                seq,
                correlation,
                annotations,
            )
            keeps_arrays = False
            if flags & FLAG_SERPENT_RULES:
                keeps_arrays = flags & FLAG_ARRAYS and serializer == MARSHAL
                serializer = SERPENT
            service = host.services.get(name) or host.service(name)
            if service is None:
                raise pyro.error_class("DaemonError")("unknown object")
            if flags & FLAG_KEEPSERIALIZED:
                args = (pyro.blob(*args, flags, seq, correlation, annotations),)
            elif has_classes:
                args, kwargs = convert.arguments(args, kwargs, serializer, name, member)
            instance = service.instance_for_call(session, pin)
            if kind == CALL:
                method = service.access.method(instance, member)
                pin = 0
                if oneway:
                    context = serializer, flags, seq, correlation, annotations
                    raised = functools.partial(
                        self._raised,
                        serializer=serializer,
                        flags=flags,
                        member=member,
                        method=method,
                    )
                    session = self._number, session
                    return self._start_oneway(
                        OnewayCall(oneway, name, method, args, kwargs, session, context, raised)
                    )
                value = method(*args, **kwargs)
            elif kind == GET:
                value = service.access.get(instance, member)
            elif kind == SET:
                value = service.access.set(instance, member, args[0])
            else:
                value = self._batch(service, instance, args, serializer, keeps_arrays)
            if service.look is not None:
                service.look.follow(instance)
            if flags & FLAG_ONEWAY:
                return VALUE, None
            if kind == BATCH or type(value) in convert.SIMPLE:
                answer = VALUE, value
            elif type(value) not in CONTAINERS and isinstance(value, Iterator):
                answer = STREAM, host.streams.add(service, instance, member, value)
            else:
                if kind == GET and callable(value):
                    first_look.refuse_method(service, instance, member, value)
                parts = fast_encode.parts(value, serializer)
                if parts is not None:
                    answer = WRITTEN, parts
                else:
                    made = self._plain(kind, service, member, value, serializer, keeps_arrays)
                    answer = VALUE, made
            if context is not None:
                left = pyro.response_annotations(context)
                if left:
                    if answer[0] == WRITTEN:
                        answer = VALUE, value
                    return answer + (left,)
            return answer
        except Exception as error:
            raised = self._raised(error, serializer, flags, member, method)
            # An entry of a batch that has no instance or no method yet ends all of it.
            return (NOT_MADE, raised[1]) if pin else raised
        except BaseException as error:
            # it would end a client's program too
            wrapped = pyro.error_class("DaemonError")(
                "'{}' of service '{}' raised {}: {}".format(
                    member, name, type(error).__name__, exceptions.text(error)
                )
            )
            wrapped.__cause__ = error
            raised = self._raised(wrapped, serializer, flags, member, method)
            return (NOT_MADE, raised[1]) if pin else raised
        finally:
            if current.partial:
                stdio.end_of_call()

    def _start_oneway(self, call):
        try:
            self._host.oneways.start(call)
        except RuntimeError:
            # No further thread can be started: it is carried out here, and later calls of its
            # client wait for it.
            framing.send_frame(self._answers, (BEGUN,))
            self._host.oneways.run(call, _nothing)
            return None
        return (BEGUN,)

    def _raised(self, error, serializer, flags, member, method):
        if flags & FLAG_ONEWAY:
            # A client can call a missing method as fast as it can send.
            if oneway_errors.one_more():
                log.warning("an error in the oneway call '%s'", member, exc_info=error)
        elif _is_callback(method):
            log.error("an error in the callback '%s'", member, exc_info=error)
        else:
            log_unreadable(error, member, self._session.address)
        return RAISED, exceptions.exception(error, serializer, None, self._host.daemon)

    def _plain(self, kind, service, member, value, serializer, keeps_arrays):
        """The result of a member as plain data, with advice where it cannot be."""
        try:
            made = convert.result(
                value, serializer, self._host.daemon, service.name, member, keeps_arrays
            )
        except Exception as error:
            advice = first_look.advice_on_object(service, member, value) if kind == GET else None
            if advice is not None and len(error.args) == 1 and isinstance(error.args[0], str):
                error.args = ("{}; {}".format(error.args[0], advice),)
            raise
        if kind == GET and type(made) is dict and "__class__" in made:
            if made["__class__"] != "Pyro5.client.Proxy":
                first_look.warn_of_object(service, member, value)
        return made

    def _batch(self, service, instance, calls, serializer, keeps_arrays):
        results = []
        daemon = self._host.daemon
        for member, args, kwargs in calls:
            method = service.access.method(instance, member)
            try:
                value = method(*args, **kwargs)
                value = convert.result(
                    value, serializer, daemon, service.name, member, keeps_arrays
                )
            except Exception as error:
                log_unreadable(error, member, self._session.address)
                raised = exceptions.exception(error, serializer, None, daemon)
                results.append(
                    {"__class__": "Pyro5.core._ExceptionWrapper", "exception": raised}
                )
                break
            results.append(value)
        return results
