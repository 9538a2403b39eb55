//! Who may wait for what: counts, and budgets of bytes.

pub(crate) mod answer_budget;
pub(crate) mod call_permit;
pub(crate) mod log_limiter;
pub(crate) mod orphaned_calls;
pub(crate) mod pending_handshakes;
pub(crate) mod request_budget;
pub(crate) mod reserved_fds;
