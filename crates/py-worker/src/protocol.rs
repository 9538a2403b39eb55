//! The protocol between a daemon and its workers: the one description of both sides.
//!
//! Three kinds of sockets carry frames: a control socket and a log socket for each worker, and
//! channels, each for the calls of one session at a time. A channel is a pair of sockets for
//! requests and one for answers ([`channel`](crate::channel) says why).
//!
//! ```text
//! offset  size  content
//! 0       4     length of the content in bytes, big-endian; and two flags:
//!               bit 31  the content has arrays as packed bytes (`wire::packed`)
//!               bit 30  with it: the content is the result of VALUE, without the tuple
//! 4       n     a tuple: marshal, version 2
//! ```
//!
//! Arrays stand in the requests of calls, to workers that have numpy (others get lists), and in
//! answers to requests with the flag ARRAYS. A result with bit 30 is passed on to its client as it
//! is.
//!
//! A channel's frames begin with a number. [`frames`](crate::frames) and `worker/calls.py` hold the
//! two sides. `args` is a list, `kwargs` a dict; GET has neither, SET one argument. The `args` of a
//! BATCH are its calls: `(member, args, kwargs)` each. A CALL with the flag KEEPSERIALIZED has the
//! arguments `info, serializer, payload`. `annotations` are pairs of key and data.
//!
//! ```text
//! request                                                      answer
//! CALL    0  (name, member, args, kwargs, *context)            VALUE, RAISED, STREAM or BEGUN
//! GET     1  (name, member, args, kwargs, *context)            VALUE, RAISED or STREAM
//! SET     2  (name, member, args, kwargs, *context)            VALUE or RAISED
//! BATCH   3  (name, member, args, kwargs, *context)            VALUE or RAISED
//! NEXT    4  (stream, serializer, flags, seq, correlation, annotations)  VALUE, STREAM, END, ...
//! CLOSE   5  (stream)                                          none
//! BIND    6  (number, address, own_address, object_id)         none; begins a session
//! UNBIND  7  ()                                                none; ends it
//! REST    8  (name, member, makes_instance)                    VALUE or RAISED; safe state
//! UNPIN   9  (pin)                                             none; the batch has ended
//! FINISH  10 (stream)                                          VALUE, once it is closed
//! LEAVE   11 (name, rests)                                     VALUE; safe state at session end
//! ABORT   12 (name, member, sessions)                          VALUE or RAISED; beside calls
//! HEALTH  13 (name, member, replaces)                          VALUE or RAISED; is it well?
//!
//! *context: serializer, flags, seq, correlation, annotations, has_classes, pin, oneway
//!
//! answer
//! VALUE   0  (value, [annotations])
//! RAISED  1  (class_dict)
//! STREAM  2  (stream, [annotations])
//! END     3  ()                                                no further item
//! BEGUN   4  ()                                                a oneway call; `ended` follows
//! REFUSED 5  (class_dict)                                      an item that cannot be sent
//! NO_INSTANCE 6 ()                                             the call must not make one
//! NOT_MADE 7  (class_dict)                                     an entry without instance or method
//! ```
//!
//! NEXT is also answered RAISED, which ends the stream, or REFUSED, after which it goes on.
//!
//! Calls with the same `pin` other than 0 are entries of one batch: they share one instance where
//! each call would have one, until UNPIN. `has_classes` says that the arguments hold class dicts. A
//! `oneway` other than 0 is the number of a oneway call that runs beside the next calls.
//! `flags` are those of the client's message, and NO_INSTANCE (bit 16): there is another's lock,
//! and the call must make no instance.
//! HEALTH calls a method or reads a property of the one instance; without a member it only makes
//! the instance. With `replaces` the instance is first released and made anew.
//! REST answers the instance mode where there is no instance to call the method on, and so does
//! ABORT. With None as `sessions` it calls the method on the instances of all sessions.
//!
//! Messages on the control socket begin with a name. [`control`](crate::control) and
//! `worker/process.py` hold the two sides.
//!
//! ```text
//! from the daemon
//! start         (settings)                  first; with 1 descriptor: the log socket
//! load          (specs)
//! channel       ()                          with 2 descriptors, answers and requests: serve it
//! beside        ()                          the same, on a thread beside all calls
//! close_stream  (stream)
//! ping          (number)
//! answer        (number, succeeded, value)  to `ask`
//! stop          (seconds)
//!
//! from the worker
//! hello         (version, facts)            first
//! loaded        (service, members, remarks)
//! sources       (service, files)          of its driver: (path, changed in ns, size) each
//! members       (service, members, remarks)         its instance has shown others
//! failed        (service, class, text, traceback)   its import failed
//! broken        (service, class, text, traceback)   its constructor raised
//! mended        (service)                   its constructor succeeds again
//! refuses       (reason)                    no new channels; None: they are served again
//! pong          (number)
//! ended         (number)                    a oneway call has ended
//! ended         (number, class, text)       one that has raised
//! released      ()                          at its end: all instances are, and no call runs
//! ask           (number, what, arguments)
//!
//! what a worker asks
//! location      ()
//! register      (id, members, service)
//! unregister    (id)
//! parts         (service, {id: members})    all of them; answers [lock methods, {id: refusal}]
//! ```
//!
//! Records on the log socket begin with a name too; `output.rs` reads what `worker/stdio.py` and
//! `worker/logging_bridge.py` write.
//!
//! ```text
//! log records
//! out           (service, line)             a line that Python code printed
//! err           (service, line)
//! log           (service, level, logger, message, traceback)
//! ```

/// Version of the protocol; the worker's `hello` must carry the same.
pub(crate) const VERSION: i64 = 1;

pub(crate) const CALL: i64 = 0;
pub(crate) const GET: i64 = 1;
pub(crate) const SET: i64 = 2;
pub(crate) const BATCH: i64 = 3;
pub(crate) const NEXT: i64 = 4;
pub(crate) const CLOSE: i64 = 5;
pub(crate) const BIND: i64 = 6;
pub(crate) const UNBIND: i64 = 7;
pub(crate) const REST: i64 = 8;
pub(crate) const UNPIN: i64 = 9;
pub(crate) const FINISH: i64 = 10;
pub(crate) const LEAVE: i64 = 11;
pub(crate) const ABORT: i64 = 12;
pub(crate) const HEALTH: i64 = 13;

pub(crate) const VALUE: i64 = 0;
pub(crate) const RAISED: i64 = 1;
pub(crate) const STREAM: i64 = 2;
pub(crate) const END: i64 = 3;
pub(crate) const BEGUN: i64 = 4;
pub(crate) const REFUSED: i64 = 5;
pub(crate) const NO_INSTANCE: i64 = 6;
pub(crate) const NOT_MADE: i64 = 7;

/// Flag of a request beyond those of a client's message, which have 16 bits.
pub(crate) const FLAG_NO_INSTANCE: i64 = 1 << 16;

#[cfg(test)]
mod tests;
