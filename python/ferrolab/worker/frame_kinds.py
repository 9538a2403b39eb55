"""Kinds of frames between the daemon and a worker, and flags of requests.

`protocol.rs` of the daemon's crate `py-worker` describes the frames.
"""

CALL, GET, SET, BATCH, NEXT, CLOSE, BIND, UNBIND, REST, UNPIN, FINISH, LEAVE, ABORT, HEALTH = range(14)
VALUE, RAISED, STREAM, END, BEGUN, REFUSED, NO_INSTANCE, NOT_MADE = range(8)
# A value that has its bytes already; it goes out as any other.
WRITTEN = -1

FLAG_ONEWAY = 4
FLAG_KEEPSERIALIZED = 32
# The caller knows arrays as packed bytes; only with marshal.
FLAG_ARRAYS = 1 << 14
# Results become data by serpent's rules, whatever the serializer: our own client asks for it.
FLAG_SERPENT_RULES = 1 << 15
# The call must make no instance; of the daemon, beyond the 16 bits of a client's flags.
FLAG_NO_INSTANCE = 1 << 16
SERPENT, MARSHAL = 1, 2
