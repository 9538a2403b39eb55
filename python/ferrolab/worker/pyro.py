"""Access to Pyro5, where the driver's environment has it.

Owns every look into Pyro5's modules: the call context, the registries of class serializers and
the classes of errors. Nothing here imports Pyro5 unless a client sent one of its objects: a
driver that does not use it pays nothing, and a driver without it in its environment works too.
"""

import datetime
import struct
import sys
import uuid
import weakref

# The error classes that a client knows, for environments that have no Pyro5. They travel under
# the names of the originals, and a stock client raises those.
_stand_ins = {}

_new, _int_from_bytes = object.__new__, int.from_bytes
# `uuid.UUID` refuses to have its attributes set; these are its slots.
_set_int, _set_is_safe = uuid.UUID.int.__set__, uuid.UUID.is_safe.__set__
_UNKNOWN = uuid.SafeUUID.unknown

SERIALIZER_CLASSES = {
    1: "SerpentSerializer",
    2: "MarshalSerializer",
    3: "JsonSerializer",
    4: "MsgpackSerializer",
}


def error_class(name):
    """The class `Pyro5.errors.NAME`, or one that stands in for it."""
    module = sys.modules.get("Pyro5.errors")
    if module is not None:
        return getattr(module, name)
    if name not in _stand_ins:
        _stand_ins[name] = type(name, (Exception,), {"__module__": "Pyro5.errors"})
    return _stand_ins[name]


def is_error(error, name):
    """Whether `error` is a `Pyro5.errors.NAME`, or of the class that stands in for it."""
    module = sys.modules.get("Pyro5.errors")
    classes = (getattr(module, name, None), _stand_ins.get(name))
    return isinstance(error, tuple(cls for cls in classes if cls is not None))


# -- the call context ---------------------------------------------------------------------------


class Connection:
    """The client's connection, which drivers find as `current_context.client`.

    The socket itself is the daemon's; this has what drivers use of it.
    """

    def __init__(self, address, own_address="", object_id=None):
        self.objectId = object_id
        self.pyroInstances = {}
        self.tracked_resources = weakref.WeakSet()
        self.sock = _Socket(address, own_address)

    def close_resources(self):
        """Closes what the driver tracked for this connection."""
        for resource in list(self.tracked_resources):
            try:
                resource.close()
            except Exception:  # a resource that will not close hinders no other
                pass
        self.tracked_resources.clear()


class _Socket:
    def __init__(self, address, own_address):
        self._address = address
        self._own_address = own_address

    def getpeername(self):
        return self._address

    def getsockname(self):
        return self._own_address


def fill_context(connection, address, serializer, flags, seq, correlation, annotations):
    """Sets Pyro5's `current_context` for one request, and returns it; None without Pyro5."""
    module = sys.modules.get("Pyro5.callcontext")
    if module is None:
        return None
    context = module.current_context
    # The thread's own values: each attribute of a `threading.local` would look for them anew.
    values = context.__dict__
    values["client"] = connection
    values["client_sock_addr"] = address
    values["serializer_id"] = serializer
    values["msg_flags"] = flags
    values["seq"] = seq
    values["correlation_id"] = _make_uuid(correlation)
    # Pyro5 hands out views here, and drivers may use their methods
    views = {key: memoryview(data) for key, data in annotations} if annotations else {}
    values["annotations"] = views
    values["response_annotations"] = {}
    return context


def _make_uuid(data):
    """`uuid.UUID(bytes=data)` without its checks, which take as long as a call of the driver."""
    made = _new(uuid.UUID)
    _set_int(made, _int_from_bytes(data, "big"))
    _set_is_safe(made, _UNKNOWN)
    return made


def reached_address():
    """The daemon's address as the client of this thread's call has reached it; "" on other threads,
    and without Pyro5."""
    module = sys.modules.get("Pyro5.callcontext")
    client = module and getattr(module.current_context, "client", None)
    return client.sock.getsockname() if isinstance(client, Connection) else ""


def response_annotations(context):
    """Annotations that the driver left for its answer, as `[(key, data)]`."""
    annotations = context.response_annotations
    if not annotations:
        return ()
    context.response_annotations = {}
    for key in annotations:
        if not (isinstance(key, str) and len(key) == 4 and key.isascii()):
            raise error_class("ProtocolError")("annotation identifier must be 4 ascii characters")
    return [(key, bytes(data)) for key, data in annotations.items()]


# -- blobs ----------------------------------------------------------------------------------------


def blob(info, serializer, payload, flags, seq, correlation, annotations):
    """The `SerializedBlob` of a call whose argument its client wants to stay serialized.

    It holds a message, as Pyro5's does: `deserialized()` reads it and a proxy passes it on
    unchanged.
    """
    try:
        from Pyro5 import client, protocol
    except ImportError:
        raise error_class("SerializeError")(
            "the argument is a SerializedBlob, and the driver's environment has no Pyro5"
        ) from None
    size = sum(8 + len(data) for _, data in annotations)
    parts = [part for key, data in annotations for part in (_chunk(key, data), data)]
    header = struct.pack(
        "!4sHBBHHII16sHH",
        b"PYRO",
        protocol.PROTOCOL_VERSION,
        protocol.MSG_INVOKE,
        serializer,
        flags & ~protocol.FLAGS_COMPRESSED,
        seq,
        len(payload),
        size,
        correlation,
        0,
        0x4DC5,
    )
    message = protocol.ReceivingMessage(header, b"".join(parts) + payload)
    return client.SerializedBlob(info, message, is_blob=True)


def _chunk(key, data):
    return struct.pack("!4sI", key.encode("ascii"), len(data))


# -- class serializers --------------------------------------------------------------------------


def _serializer_base():
    module = sys.modules.get("Pyro5.serializers")
    return None if module is None else module.SerializerBase


def class_converters():
    """The functions that make dicts of objects, by class, as registered with Pyro5."""
    base = _serializer_base()
    if base is None:
        return {}
    return vars(base).get("_SerializerBase__custom_class_to_dict_registry", {})


def class_converter(value):
    """The function that is registered for the class of `value` or a base of it; None without."""
    for cls, converter in list(class_converters().items()):
        if isinstance(value, cls):
            return converter
    return None


def serpent_converters():
    """The functions registered with serpent: `{class: function}`, in order of precedence."""
    module = sys.modules.get("serpent")
    return {} if module is None else getattr(module, "_special_classes_registry", {})


def is_serpents_own(writer):
    """Whether a function registered with serpent is one that serpent brings along."""
    return getattr(writer, "__module__", None) == "serpent"


def is_auto_proxy(function):
    """Whether a registered function is the one that makes proxies of objects served here."""
    return getattr(function, "_ferrolab_auto_proxy", False)


def type_replacement(kind, serializer):
    """The function that replaces objects of exactly this class (json and msgpack), or None."""
    module = sys.modules.get("Pyro5.serializers")
    if module is None:
        return None
    name = SERIALIZER_CLASSES[serializer]
    cls = getattr(module, name, None)
    return vars(cls).get("_{}__type_replacements".format(name), {}).get(kind) if cls else None


def recreate(value, serializer):
    """`value` with objects in place of its class dicts, as Pyro5 recreates them.

    Raises what Pyro5 raises for classes that it does not know or refuses.
    """
    known = _serializer(serializer)
    if serializer == 4:
        return _hooked(value, known.dict_to_class if known else _without_pyro)
    if serializer == 1 and _ORDERED not in _dict_converters():
        value = _with_dicts(value)
    return known.recreate_classes(value) if known else _without_pyro(value)


# Serpent's class of an OrderedDict.
_ORDERED = "collections.OrderedDict"


def _dict_converters():
    """The functions that make objects of dicts, by class name, as registered with Pyro5."""
    base = _serializer_base()
    if base is None:
        return {}
    return vars(base).get("_SerializerBase__custom_dict_to_class_registry", {})


def _with_dicts(value):
    """Serpent's class dicts of OrderedDicts as the dicts that other serializers make of them."""
    kind = type(value)
    if kind is list:
        return [_with_dicts(item) for item in value]
    if kind is tuple:
        return tuple(_with_dicts(item) for item in value)
    if kind is not dict:
        return value
    if value.get("__class__") == _ORDERED and type(value.get("items")) is list:
        value = dict(value["items"])
    elif "__class__" in value:
        return value  # what another class holds is for its function
    return {key: _with_dicts(item) for key, item in value.items()}


def _serializer(number):
    """Pyro5's serializer of that number; None without Pyro5."""
    try:
        from Pyro5 import serializers
    except ImportError:
        return None
    # msgpack is an extra; what classes become of dicts is the same for all serializers
    return serializers.serializers_by_id.get(number) or serializers.serializers_by_id[1]


# Class dicts that stand for msgpack's extension codes: the class, the keys, what makes the object.
_EXTENSIONS = {
    "datetime.datetime": (("timestamp",), datetime.datetime.fromtimestamp),
    "datetime.date": (("ordinal",), datetime.date.fromordinal),
    "msgpack.Timestamp": (("seconds", "nanoseconds"), lambda *parts: _timestamp(*parts)),
}


def _timestamp(seconds, nanoseconds):
    try:
        from msgpack import Timestamp
    except ImportError:
        raise error_class("SerializeError")(
            "a timestamp of msgpack's, and the driver's environment has no msgpack"
        ) from None
    return Timestamp(seconds, nanoseconds)


def _hooked(value, dict_to_class):
    """Conversion by msgpack's object hook: every dict in turn, the innermost first."""
    kind = type(value)
    if kind is list:
        return [_hooked(item, dict_to_class) for item in value]
    if kind is tuple:
        return tuple(_hooked(item, dict_to_class) for item in value)
    if kind is dict:
        value = {key: _hooked(item, dict_to_class) for key, item in value.items()}
        if "__class__" not in value:
            return value
        keys, make = _EXTENSIONS.get(value["__class__"], ((), None))
        if make is not None and len(value) == 1 + len(keys) and all(key in value for key in keys):
            return make(*(value[key] for key in keys))
        return dict_to_class(value)
    return value


def _without_pyro(value):
    """Recreates what needs no Pyro5: the exceptions that are Python's own."""
    kind = type(value)
    if kind in (list, tuple, set):
        return kind(_without_pyro(item) for item in value)
    if kind is not dict:
        return value
    if "__class__" not in value:
        return {key: _without_pyro(item) for key, item in value.items()}
    name = value["__class__"]
    if "__" in name:
        raise error_class("SecurityError")(
            "refused to deserialize types with double underscores in their name: " + name
        )
    module, _, short = name.rpartition(".")
    if value.get("__exception__") and module in ("builtins", "exceptions"):
        import builtins

        cls = getattr(builtins, short, None)
        if isinstance(cls, type) and issubclass(cls, BaseException):
            error = cls(*value["args"])
            for key, item in value.get("attributes", {}).items():
                setattr(error, key, item)
            return error
    raise error_class("SerializeError")("unsupported serialized class: " + name)


# -- tracebacks ---------------------------------------------------------------------------------


def detailed_traceback(error):
    """Pyro5's traceback with the values of variables, where its settings ask for it."""
    module = sys.modules.get("Pyro5.errors")
    config = getattr(module, "config", None)
    if not getattr(config, "DETAILED_TRACEBACK", False):
        return None
    return module.format_traceback(type(error), error, error.__traceback__, True)
