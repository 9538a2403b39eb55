//! The call that a session carries out: its object and member, since when, and what it waits for.
//!
//! Each session has a place for one call, which is written at the beginning of a call and read when
//! the daemon lists its calls. Its lock is almost never contended, and its texts keep their memory
//! from one call to the next.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Bytes of a member's name that are kept: it has come from the client, may be as long as a
/// request, and stands in each of the daemon's reports.
const MAX_NAME_BYTES: usize = 80;

/// The kind of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallKind {
    /// Its client waits for an answer.
    #[default]
    Call,
    /// Its client waits for nothing.
    Oneway,
    /// The next item of a stream.
    StreamItem,
}

/// The operation of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallAction {
    /// A method is called.
    #[default]
    Method,
    /// A property is read.
    Get,
    /// A property is set.
    Set,
    /// Several methods are called.
    Batch,
}

/// The form of a call: what its request says besides the names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallForm {
    pub(crate) kind: CallKind,
    pub(crate) action: CallAction,
    pub(crate) correlation: Correlation,
}

/// Whether a call runs, or the thing that it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum CallPhase {
    Runs = 1,
    WaitsForTurn = 2,
    WaitsForLock = 3,
    WaitsForWorker = 4,
    WaitsForMemory = 5,
}

/// The phase of a session without a call.
const NO_CALL: u8 = 0;

/// The call that a session carries out, if any.
#[derive(Debug, Default)]
pub(crate) struct CurrentCall {
    phase: AtomicU8,
    /// It has run for so long that it may be slow: a hint, for which its end looks at the clock.
    may_be_slow: AtomicBool,
    facts: Mutex<CallFacts>,
}

/// The facts about one call.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallFacts {
    pub(crate) object: String,
    pub(crate) member: String,
    pub(crate) form: CallForm,
    /// Its arguments as the call log shows them.
    pub(crate) arguments: Option<String>,
    since: Option<Beginning>,
}

/// The correlation id of a call. A driver's Pyro5 proxies send the id of the call that they are
/// used in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Correlation {
    pub(crate) id: [u8; 16],
    /// Whether the daemon has made it up, and the client has sent none.
    pub(crate) is_made_here: bool,
}

/// The beginning of a call: for its age, and for people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beginning {
    pub(crate) instant: Instant,
    /// By the wall clock, once somebody has looked: most calls end before.
    time: Option<SystemTime>,
}

/// A session's call, which has ended when this is dropped.
#[derive(Debug)]
pub(crate) struct CallInProgress<'a> {
    call: &'a CurrentCall,
    pub(crate) since: Beginning,
    pub(crate) form: CallForm,
}

/// A session's call that waits for its worker until this is dropped.
#[derive(Debug)]
pub struct WorkerWait<'a> {
    call: &'a CurrentCall,
}

impl CurrentCall {
    /// Begins a call.
    pub(crate) fn begin(
        &self,
        object: &str,
        member: &str,
        form: CallForm,
        phase: CallPhase,
    ) -> CallInProgress<'_> {
        let since = Beginning::now();
        let mut facts = self.lock();
        facts.rename(object, member);
        (facts.form, facts.arguments, facts.since) = (form, None, Some(since));
        drop(facts);
        self.set_phase(phase);
        CallInProgress { call: self, since, form }
    }

    /// The beginning of the call, with the time by which a list has shown it, if one has.
    pub(crate) fn since(&self) -> Option<Beginning> {
        self.lock().since
    }

    pub(crate) fn set_arguments(&self, arguments: String) {
        self.lock().arguments = Some(arguments);
    }

    pub(crate) fn arguments(&self) -> Option<String> {
        self.lock().arguments.clone()
    }

    /// Notes whether the end of the call has to look whether it was slow.
    pub(crate) fn set_may_be_slow(&self, may_be: bool) {
        self.may_be_slow.store(may_be, Ordering::Relaxed);
    }

    pub(crate) fn may_be_slow(&self) -> bool {
        self.may_be_slow.load(Ordering::Relaxed)
    }

    /// The call is about a member of another object: the one that has returned a stream.
    pub(crate) fn set_stream(&self, object: &str, member: &str) {
        let mut facts = self.lock();
        facts.rename(object, member);
        // The stream's id is a key to it.
        (facts.form.kind, facts.arguments) = (CallKind::StreamItem, None);
    }

    /// Whether it reads a property.
    pub(crate) fn is_read(&self) -> bool {
        let facts = self.lock();
        facts.form.action == CallAction::Get && facts.form.kind != CallKind::StreamItem
    }

    pub(crate) fn set_phase(&self, phase: CallPhase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// The call waits for its worker until the result is dropped.
    pub(crate) fn wait_for_worker(&self) -> WorkerWait<'_> {
        self.set_phase(CallPhase::WaitsForWorker);
        WorkerWait { call: self }
    }

    /// The call, its beginning and its phase; `None` without a call.
    pub(crate) fn read(&self) -> Option<(CallFacts, Beginning, CallPhase)> {
        let mut facts = self.lock();
        let phase = match self.phase.load(Ordering::Acquire) {
            1 => CallPhase::Runs,
            2 => CallPhase::WaitsForTurn,
            3 => CallPhase::WaitsForLock,
            4 => CallPhase::WaitsForWorker,
            5 => CallPhase::WaitsForMemory,
            _ => return None,
        };
        let since = facts.since?.with_time();
        facts.since = Some(since);
        Some((facts.clone(), since, phase))
    }

    fn lock(&self) -> MutexGuard<'_, CallFacts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Beginning {
    pub(crate) fn now() -> Self {
        Beginning { instant: Instant::now(), time: None }
    }

    /// The same, with a time by the wall clock that stays: lists tell calls apart by it.
    pub(crate) fn with_time(self) -> Self {
        Beginning { time: Some(self.time()), ..self }
    }

    /// The time by the wall clock; where nobody has looked before, as that clock goes now.
    pub(crate) fn time(&self) -> SystemTime {
        self.time.unwrap_or_else(|| {
            let now = SystemTime::now();
            now.checked_sub(self.elapsed()).unwrap_or(now)
        })
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.instant.elapsed()
    }
}

impl CallFacts {
    /// The facts about a call that has no more of them.
    pub(crate) fn named(object: &str, member: &str) -> Self {
        let mut facts = CallFacts::default();
        facts.rename(object, member);
        facts
    }

    fn rename(&mut self, object: &str, member: &str) {
        // Mostly the names of the call before: unchanged texts stay in every processor's cache.
        if self.object != object {
            self.object.clear();
            self.object.push_str(object);
        }
        if self.member != member {
            self.member.clear();
            push_shortened(&mut self.member, member);
        }
    }
}

/// Appends a member's name, as much of it as is kept.
pub(crate) fn push_shortened(text: &mut String, member: &str) {
    if member.len() <= MAX_NAME_BYTES {
        return text.push_str(member);
    }
    // A character has up to 4 bytes.
    let beginning = (0..4).find_map(|less| member.get(..MAX_NAME_BYTES - less));
    text.push_str(beginning.unwrap_or_default());
    text.push('…');
}

impl Drop for CallInProgress<'_> {
    fn drop(&mut self) {
        self.call.phase.store(NO_CALL, Ordering::Release);
    }
}

impl Drop for WorkerWait<'_> {
    fn drop(&mut self) {
        self.call.set_phase(CallPhase::Runs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_seen_from_its_beginning_to_its_end() {
        let current = CurrentCall::default();
        assert!(current.read().is_none());
        let correlation = Correlation { id: [7; 16], is_made_here: true };
        let form = CallForm { correlation, ..CallForm::default() };
        let waits = CallPhase::WaitsForTurn;
        let call = current.begin("stage", "move", form, waits);
        let (facts, since, phase) = current.read().unwrap();
        assert_eq!((facts.object.as_str(), facts.member.as_str()), ("stage", "move"));
        assert_eq!((facts.form, phase), (form, waits));
        assert!(since.instant <= Instant::now());
        drop(current.wait_for_worker());
        assert_eq!(current.read().unwrap().2, CallPhase::Runs);
        drop(call);
        assert!(current.read().is_none());
    }

    #[test]
    fn a_long_name_takes_no_memory_after_its_call() {
        let current = CurrentCall::default();
        for (member, kept) in [
            ("x".repeat(80), "x".repeat(80)),
            ("x".repeat(1 << 20), "x".repeat(80) + "…"),
            ("x".repeat(79) + &"Ω".repeat(1 << 20), "x".repeat(79) + "…"),
            ("x".repeat(77) + "🔬", "x".repeat(77) + "…"),
        ] {
            let form = CallForm::default();
            let _call = current.begin("stage", &member, form, CallPhase::Runs);
            let (facts, ..) = current.read().unwrap();
            assert_eq!(facts.member, kept);
            assert!(current.lock().member.capacity() < 1024);
        }
    }
}
