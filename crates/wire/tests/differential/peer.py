"""Python side of the differential tests: runs Pyro5's own serializers for the Rust side.

It reads batches from standard input and answers each on standard output. Integers are big-endian.

    request   count32, then per command:  op8  serializer8  length32  payload
    answer    per command:                failed8  length32  payload, or "module.Class: message"

    op  payload        answer's payload
    d   value          serializer.dumps(value)
    2   value          marshal.dumps(value, 2)
    l   bytes          serializer.loads(bytes)
    r   value          serializer.loads(serializer.dumps(value))
    c   call           serializer.dumpsCall(*call)
    C   bytes          serializer.loadsCall(bytes)
    v   text           serpent.loads(text)
    p   value          repr(value)
    u   uri text       str(URI), its state
    x   exception      str(exception)

Values have a notation that shares no code with any serializer:

    N T F  i<hexadecimal>;  f<16 hex digits>;  c<32 hex digits>;
    s<length>:<UTF-8>  b<length>:<bytes>
    l<count>;<items>  t<count>;<items>  e<count>;<set>  z<count>;<frozenset>
    d<count>;<keys and values>
"""

import marshal
import struct
import sys
import warnings

import serpent
from Pyro5 import core, serializers


def understood(data):
    """Converts the nan dicts of serpent in class dicts, where Pyro5 does not."""
    if type(data) in (list, tuple):
        return type(data)(understood(item) for item in data)
    if type(data) is dict and data.get("__class__") == "float":
        return float(data["value"])
    if type(data) is dict:
        return {key: understood(value) for key, value in data.items()}
    return data


# A class dict of this class stays a dict instead of becoming an object.
CLASS = "test.Class"
serializers.SerializerBase.register_dict_to_class(CLASS, lambda name, data: understood(data))
# Python 3.11 warns of unknown escapes, which the tests contain.
warnings.simplefilter("ignore")


class Reader:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def until(self, mark):
        end = self.data.index(mark, self.at)
        text = self.data[self.at:end]
        self.at = end + 1
        return text.decode("ascii")

    def take(self, count):
        piece = self.data[self.at:self.at + count]
        self.at += count
        return piece

    def value(self):
        tag = self.take(1)
        if tag == b"N":
            return None
        if tag == b"T":
            return True
        if tag == b"F":
            return False
        if tag == b"i":
            return int(self.until(b";"), 16)
        if tag == b"f":
            return struct.unpack(">d", bytes.fromhex(self.until(b";")))[0]
        if tag == b"c":
            return complex(*struct.unpack(">dd", bytes.fromhex(self.until(b";"))))
        if tag == b"s":
            return self.take(int(self.until(b":"))).decode("utf-8", "surrogatepass")
        if tag == b"b":
            return self.take(int(self.until(b":")))
        items = [self.value() for _ in range(int(self.until(b";")) * (2 if tag == b"d" else 1))]
        if tag == b"l":
            return items
        if tag == b"t":
            return tuple(items)
        if tag == b"e":
            return set(items)
        if tag == b"z":
            return frozenset(items)
        if tag == b"d":
            return dict(zip(items[::2], items[1::2]))
        raise ValueError(tag)


def write(value, out):
    kind = type(value)
    if value is None:
        out.append(b"N")
    elif kind is bool:
        out.append(b"T" if value else b"F")
    elif kind is int:
        out.append(b"i%x;" % value)
    elif kind is float:
        out.append(b"f" + struct.pack(">d", value).hex().encode() + b";")
    elif kind is complex:
        out.append(b"c" + struct.pack(">dd", value.real, value.imag).hex().encode() + b";")
    elif kind is str:
        text = value.encode("utf-8", "surrogatepass")
        out.append(b"s%d:%s" % (len(text), text))
    elif kind is bytes:
        out.append(b"b%d:%s" % (len(value), value))
    elif kind in (list, tuple, set, frozenset):
        tag = {list: b"l", tuple: b"t", set: b"e", frozenset: b"z"}[kind]
        out.append(tag + b"%d;" % len(value))
        for item in value:
            write(item, out)
    elif kind is dict:
        out.append(b"d%d;" % len(value))
        for key, item in value.items():
            write(key, out)
            write(item, out)
    else:
        raise TypeError("no notation for " + str(kind))


def written(value):
    out = []
    write(value, out)
    return b"".join(out)


def uri(text):
    made = core.URI(text)
    protocol, name, *location = made.__getstate__()
    if protocol == "PYROMETA":
        # The text has a set of str, whose order changes from run to run.
        return written((protocol, name, *location))
    return written((str(made), protocol, name, *location))


def perform(op, serializer, payload):
    if op in "lC":
        # The type that Pyro5 reads from a socket.
        payload = bytearray(payload)
        return written(serializer.loads(payload) if op == "l" else serializer.loadsCall(payload))
    if op == "v":
        return written(serpent.loads(payload))
    if op == "u":
        return uri(payload.decode("utf-8"))
    value = Reader(payload).value()
    if op == "d":
        return serializer.dumps(value)
    if op == "2":
        return marshal.dumps(value, 2)
    if op == "r":
        return written(serializer.loads(serializer.dumps(value)))
    if op == "c":
        return serializer.dumpsCall(*value)
    if op == "p":
        return repr(value).encode("utf-8")
    if op == "x":
        return str(serializers.SerializerBase.dict_to_class(value)).encode("utf-8")
    raise ValueError(op)


def main():
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    while head := stdin.read(4):
        answers = []
        for _ in range(int.from_bytes(head, "big")):
            op, serializer_id, length = struct.unpack(">cBI", stdin.read(6))
            payload = stdin.read(length)
            serializer = serializers.serializers_by_id[serializer_id]
            try:
                failed, answer = 0, perform(op.decode("ascii"), serializer, payload)
            except Exception as x:
                text = "%s.%s: %s" % (type(x).__module__, type(x).__name__, x)
                failed, answer = 1, text.encode("utf-8", "replace")
            answers.append(struct.pack(">BI", failed, len(answer)) + answer)
        stdout.write(b"".join(answers))
        stdout.flush()


main()
