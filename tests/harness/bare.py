"""Messages without a proxy in between: to send without waiting, to send what no proxy would, and
to see an answer as it comes."""

import struct

from Pyro5 import protocol
from Pyro5.serializers import serializers


def send(client, method, *args, serializer="serpent"):
    """Sends a request over a proxy's connection without waiting for its answer."""
    serializer = serializers[serializer]
    data = serializer.dumpsCall(client._pyroConnection.objectId, method, args, {})
    client._pyroSeq += 1
    message = protocol.SendingMessage(
        protocol.MSG_INVOKE, 0, client._pyroSeq, serializer.serializer_id, data
    )
    client._pyroConnection.send(message.data)


def answer(client):
    """The answer to what was sent, as it came."""
    connection = client._pyroConnection
    message = protocol.ReceivingMessage(connection.recv(protocol._header_size))
    message.add_payload(connection.recv(message.annotations_size + message.data_size))
    assert message.type == protocol.MSG_RESULT
    return message


def message(serializer, payload, flags=0, annotations=b"", seq=5, kind=protocol.MSG_INVOKE):
    """A header and any bytes; `serializer` is a name, or any number."""
    number = getattr(serializers.get(serializer), "serializer_id", serializer)
    header = struct.pack(
        "!4sHBBHHII16sHH",
        *(b"PYRO", 502, kind, number, flags, seq),
        *(len(payload), len(annotations), b"\0" * 16, 0, 0x4DC5),
    )
    return header + annotations + payload


def connect_message(serializer="serpent", name="t.wire"):
    """The first message of a client."""
    data = serializers[serializer].dumps({"handshake": "hello", "object": name})
    return message(serializer, data, seq=1, kind=protocol.MSG_CONNECT)


def receive(sock):
    """One whole message, or what came of it."""
    answer = b""
    wanted = 40
    while len(answer) < wanted:
        chunk = sock.recv(wanted - len(answer))
        if not chunk:
            break
        answer += chunk
        if len(answer) >= 40:
            wanted = 40 + sum(struct.unpack("!II", answer[12:20]))
    return answer
