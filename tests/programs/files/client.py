import hashlib

import serpent
from Pyro5.api import Proxy

CONTENT = bytes(range(256)) * 1024

for serializer in ("serpent", "marshal", "json", "msgpack"):
    print(serializer)
    with Proxy("PYRONAME:files") as store:
        store._pyroSerializer = serializer
        name = f"{serializer}.bin"
        for size in (0, 1, 100, len(CONTENT)):
            data = CONTENT[:size]
            try:
                count, digest = store.put(name, data)
                print("  put", count, digest == hashlib.sha256(data).hexdigest())
                back = store.get(name)
                print("  got", type(back).__name__, serpent.tobytes(back) == data)
                print("  as", store.kind(data), store.kind(bytearray(data)))
            except Exception as error:
                print("  ", size, type(error).__name__)
                break
        else:
            store.append(name, b"\0end\n")
            pieces = [serpent.tobytes(piece) for piece in store.pieces(name, 100_000)]
            print("  pieces", [len(piece) for piece in pieces], pieces[-1][-5:])
            print("  whole", b"".join(pieces) == CONTENT + b"\0end\n")
            print("  view", type(store.view(name, 1, 5)).__name__)

with Proxy("PYRONAME:files") as store:
    print(store.names())
    store._pyroSerializer = "msgpack"
    try:
        store.get("nothing")
    except KeyError as error:
        print("KeyError", error)
