//! Flags of a message: Pyro5's, and Ferrolab's in bits that Pyro5 does not use.

bitflags::bitflags! {
    /// The flags of a message. Unknown bits are kept.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Flags: u16 {
        /// The result is an exception.
        const EXCEPTION = 1;
        /// The payload is compressed.
        const COMPRESSED = 1 << 1;
        /// The client waits for no result.
        const ONEWAY = 1 << 2;
        /// The call is a batch of calls.
        const BATCH = 1 << 3;
        /// The result is an item stream, whose id is in the annotation `STRM`.
        const ITEMSTREAMRESULT = 1 << 4;
        /// The payload is passed on without being decoded; the annotation `BLBI` describes it.
        const KEEPSERIALIZED = 1 << 5;
        /// The header has a correlation id.
        const CORR_ID = 1 << 6;
        /// The call has not begun by the deadline that its caller gave, and will not: an answer to
        /// Ferrolab's clients.
        const NOT_BEGUN = 1 << 13;
        /// The caller knows arrays as packed bytes: what Ferrolab's client says to daemons that
        /// announce arrays in the handshake. Only with marshal.
        const ARRAYS = 1 << 14;
        /// Objects in the result become data by serpent's rules, whatever the serializer: what
        /// Ferrolab's client asks of daemons that announce themselves in the handshake.
        const SERPENT_RULES = 1 << 15;
        const _ = !0;
    }
}
