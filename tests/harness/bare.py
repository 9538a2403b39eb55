"""Messages without a proxy in between: to send without waiting, and to see an answer's header."""

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
