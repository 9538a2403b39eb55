//! The names as they were at one moment, for searches.
//!
//! Owns how they are taken out: a little at a time, letting go of the names in between; where somebody
//! has changed them meanwhile, all at once. They are compared when nobody waits for them any more,
//! since a single comparison may take long, and by a clock.

use std::ops::Bound;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use remote::Exception;

use crate::limits;
use crate::store::{Entry, Named, Store};

/// Names between two looks at the clock.
const STRIDE: usize = 16;
/// Bytes of names between two looks at the clock: a costly pattern takes its time for each.
const STRIDE_BYTES: usize = 1024;
/// Whoever wants to change names waits for so long at most.
const HELD: Duration = Duration::from_millis(1);

/// URIs are kept together up to so many bytes: an answer cannot have more.
const MOST_URIS: usize = 32 << 20;

/// The names, or those with some prefix, their texts one behind the other: to go through a hundred
/// thousand of them where they are is to wait for the memory a hundred thousand times, which takes
/// longer than to compare them.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) revision: u64,
    names: Texts,
    named: Vec<Named>,
    /// Made for the first large list; `None` where it would be too large.
    uris: OnceLock<Option<Uris>>,
}

/// Texts one behind the other.
#[derive(Debug, Default)]
struct Texts {
    text: String,
    ends: Vec<usize>,
}

/// All names' URIs.
#[derive(Debug, Default)]
struct Uris {
    texts: Texts,
    /// How long each name and its URI are together in an answer.
    written: Vec<u32>,
}

/// How far a search has come.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    /// Where it goes on.
    next: Option<usize>,
    pub(crate) numbers: Vec<u32>,
}

/// Names of a snapshot, in their order.
#[derive(Debug)]
pub(crate) struct Selection {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) chosen: Vec<u32>,
}

impl Texts {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    fn begin(&self, number: usize) -> usize {
        number.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0)
    }

    fn get(&self, number: usize) -> &str {
        let end = self.ends.get(number).copied().unwrap_or(0);
        self.text.get(self.begin(number)..end).unwrap_or_default()
    }
}

impl Selection {
    pub(crate) fn len(&self) -> usize {
        self.chosen.len()
    }

    /// Each name with its URI and its entry.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str, &Entry)> {
        let Selection { snapshot, chosen } = self;
        let uris = self.uris();
        chosen.iter().filter_map(move |&number| {
            let number = number as usize;
            let (_, entry) = snapshot.named.get(number)?;
            let uri = uris.map_or_else(|| &*entry.uri, |uris| uris.texts.get(number));
            Some((snapshot.names.get(number), uri, &**entry))
        })
    }

    /// How long each name and its URI are together in an answer, and its entry.
    pub(crate) fn written(&self) -> impl Iterator<Item = (usize, &Entry)> {
        let Selection { snapshot, chosen } = self;
        let uris = self.uris();
        chosen.iter().filter_map(move |&number| {
            let number = number as usize;
            let (name, entry) = snapshot.named.get(number)?;
            let written = match uris {
                Some(uris) => uris.written.get(number).copied().unwrap_or(0) as usize,
                None => written(name, entry),
            };
            Some((written, &**entry))
        })
    }

    pub(crate) fn named(&self) -> impl Iterator<Item = &Named> {
        let Selection { snapshot, chosen } = self;
        chosen.iter().filter_map(|&number| snapshot.named.get(number as usize))
    }

    /// All URIs together, where many of them are needed.
    fn uris(&self) -> Option<&Uris> {
        let Selection { snapshot, chosen } = self;
        let are_many = chosen.len() >= snapshot.named.len() / 2;
        let uris = are_many.then(|| snapshot.uris.get_or_init(|| Uris::of(&snapshot.named)));
        uris?.as_ref()
    }
}

impl Uris {
    fn of(named: &[Named]) -> Option<Uris> {
        let mut uris = Uris::default();
        for (name, entry) in named {
            uris.texts.push(&entry.uri);
            uris.written.push(u32::try_from(written(name, entry)).unwrap_or(u32::MAX));
            if uris.texts.text.len() > MOST_URIS {
                return None;
            }
        }
        Some(uris)
    }
}

fn written(name: &str, entry: &Entry) -> usize {
    limits::written(name) + limits::written(&entry.uri)
}

impl Snapshot {
    /// Takes the names with a prefix out, a little at a time if they stay as they are for so long;
    /// otherwise at once.
    pub(crate) fn take(store: &Store, prefix: &str, clock: Clock) -> Result<Snapshot, Exception> {
        let mut snapshot = Snapshot::default();
        let whole = go_through(store, prefix, clock, |named| snapshot.add(named))?;
        if let Some(revision) = whole {
            snapshot.revision = revision;
            return Ok(snapshot);
        }
        let names = store.read();
        let mut snapshot = Snapshot { revision: names.revision(), ..Snapshot::default() };
        names.with_prefix(prefix).for_each(|named| snapshot.add(named));
        Ok(snapshot)
    }

    fn add(&mut self, (name, entry): (&Arc<str>, &Arc<Entry>)) {
        self.names.push(name);
        self.named.push((Arc::clone(name), Arc::clone(entry)));
    }

    /// Goes on with choosing those of the names with a prefix that are wanted; whether it came to the
    /// end in its turn.
    pub(crate) fn choose(
        &self,
        prefix: &str,
        clock: Clock,
        so_far: &mut Chosen,
        mut is_wanted: impl FnMut(&str, &Entry) -> bool,
    ) -> Result<bool, Exception> {
        let Chosen { next, numbers: found } = so_far;
        let first = next.unwrap_or_else(|| match prefix {
            "" => 0,
            _ => self.named.partition_point(|(name, _)| **name < *prefix),
        });
        let mut begin = self.names.begin(first);
        let mut looked_at = begin;
        let rest = (first..).zip(self.names.ends.iter().zip(&self.named).skip(first));
        for (compared, (number, (&end, (_, entry)))) in rest.enumerate() {
            if compared % STRIDE == 0 || end - looked_at >= STRIDE_BYTES {
                clock.check(number)?;
                if compared > 0 && clock.is_over() {
                    *next = Some(number);
                    return Ok(false);
                }
                looked_at = end;
            }
            let name = self.names.text.get(begin..end).unwrap_or_default();
            begin = end;
            if !name.starts_with(prefix) {
                break;
            }
            if is_wanted(name, entry) {
                // There are no more names than a million.
                found.extend(u32::try_from(number));
            }
        }
        Ok(true)
    }
}

/// Shows `visit` the names that begin with `prefix`, as they were at one moment; nobody waits long
/// for them. Returns their revision, or `None` when somebody has changed them before the end.
fn go_through(
    store: &Store,
    prefix: &str,
    clock: Clock,
    mut visit: impl FnMut((&Arc<str>, &Arc<Entry>)),
) -> Result<Option<u64>, Exception> {
    let mut last: Option<Arc<str>> = None;
    let mut revision = None;
    let mut seen = 0;
    loop {
        clock.check(seen)?;
        let names = store.read();
        let revision = *revision.get_or_insert(names.revision());
        if revision != names.revision() {
            return Ok(None);
        }
        let held = Instant::now();
        let first = last.as_deref().map_or(Bound::Included(prefix), Bound::Excluded);
        let mut stopped_at = None;
        for named in names.with_prefix_from(prefix, first) {
            visit(named);
            seen += 1;
            if seen % STRIDE == 0 && held.elapsed() >= HELD {
                stopped_at = Some(Arc::clone(named.0));
                break;
            }
        }
        drop(names);
        if stopped_at.is_none() {
            return Ok(Some(revision));
        }
        last = stopped_at;
    }
}

/// The time that a search has.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) started: Instant,
    pub(crate) limit: Duration,
    /// After that somebody else has a turn.
    pub(crate) turn: Duration,
}

impl Clock {
    pub(crate) fn new(limit: Duration, turn: Duration) -> Self {
        Clock { started: Instant::now(), limit, turn }
    }

    fn is_over(self) -> bool {
        self.started.elapsed() >= self.turn
    }

    fn check(self, seen: usize) -> Result<(), Exception> {
        if self.started.elapsed() < self.limit {
            return Ok(());
        }
        Err(Exception::naming_error(format!(
            "the search took too long: {seen} names were looked at when its time was up; ask with a \
             prefix, or with a simpler pattern"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory;

    fn register(store: &Store, name: &str) {
        let uri = "PYRO:o@h:1".to_owned();
        store.change(directory::register(name.into(), uri, false, [].into()).unwrap());
    }

    /// Each comparison may take long: they are made when nobody waits for the names, and the clock
    /// is looked at between any two long names.
    #[test]
    fn names_are_let_go_before_they_are_compared() {
        let store = Arc::new(Store::memory());
        for number in 0..64 {
            register(&store, &format!("L{number:01000}"));
        }
        let clock = Clock::new(Duration::MAX, Duration::MAX);
        let snapshot = Snapshot::take(&store, "L", clock).unwrap();
        let mut compared = 0;
        let mut whole = Chosen::default();
        let is_done = snapshot.choose("L", clock, &mut whole, |_, _| {
            // This would wait for ever where the names were held.
            register(&store, "another");
            compared += 1;
            true
        });
        assert_eq!((is_done.unwrap(), whole.numbers.len(), compared), (true, 64, 64));

        // In as many turns as there are looks at the clock, each name is compared once.
        let clock = Clock::new(Duration::MAX, Duration::ZERO);
        let (mut parts, mut turns, mut compared) = (Chosen::default(), 1, 0);
        let mut count = |_: &str, _: &Entry| {
            compared += 1;
            true
        };
        while !snapshot.choose("L", clock, &mut parts, &mut count).unwrap() {
            turns += 1;
        }
        assert_eq!((parts.numbers, compared), (whole.numbers, 64));
        assert!(turns > 2, "{turns}");

        let limit = Duration::from_millis(10);
        let clock = Clock::new(limit, Duration::MAX);
        let mut compared = 0;
        let refused = snapshot.choose("L", clock, &mut Chosen::default(), |_, _| {
            while clock.started.elapsed() < limit {}
            compared += 1;
            true
        });
        assert!(refused.is_err() && compared <= 2, "{compared} names were compared in vain");
    }
}
