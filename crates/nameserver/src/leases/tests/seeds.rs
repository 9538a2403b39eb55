//! Names under simulated lives, each from a seed: leases, plain registrations, removals and time.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// Lives in the ordinary run; `FERROLAB_TEST_EXTENDED` has ten thousand.
const SEEDS: u64 = 60;
/// Steps of a life.
const STEPS: usize = 60;
/// A name that lapses is gone this long after its lease.
const LAG: Duration = Duration::from_secs(2);

/// The names that should be there: until when, for those with a lease.
type Model = BTreeMap<String, Option<Instant>>;

async fn live(seed: u64) {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut below = |limit: u64| {
        // An xorshift generator: the same numbers on each machine.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % limit
    };
    let store = Arc::new(Store::memory());
    let _lapsing = lapsing(&store);
    let mut model = Model::new();
    for _ in 0..STEPS {
        let name = format!("n{}", below(6));
        match below(5) {
            // A daemon renews its name, if nobody has registered that in Pyro5's way.
            0..=2 => {
                if model.get(&name).is_none_or(Option::is_some) {
                    renew_one(&store, row(&name, OURS, &[], "claim")).await;
                    model.insert(name, Some(Instant::now() + LEASE));
                }
            }
            3 => {
                register(&store, &name, THEIRS, &[]).await;
                model.insert(name, None);
            }
            _ => {
                let change = crate::directory::remove(name.clone());
                store.change(change).wait().await.unwrap();
                model.remove(&name);
            }
        }
        pass(Duration::from_millis(below(4000))).await;
        check(&store, &mut model);
    }
}

fn check(store: &Store, model: &mut Model) {
    let (now, found) = (Instant::now(), only_names(store));
    for name in &found {
        let until = model.get(name).copied();
        let may = until.is_some_and(|until| until.is_none_or(|until| now <= until + LAG));
        assert!(may, "{name} is there: {until:?}, now {now:?}");
    }
    for (name, until) in &*model {
        let must = until.is_none_or(|until| now < until);
        assert!(!must || found.contains(name), "{name} is gone: {until:?}, now {now:?}");
    }
    model.retain(|name, _| found.contains(name));
}

#[test]
fn names_under_many_seeds() {
    let is_extended = std::env::var("FERROLAB_TEST_EXTENDED").is_ok_and(|it| !it.is_empty());
    for seed in 0..if is_extended { 10_000 } else { SEEDS } {
        let lived = catch_unwind(AssertUnwindSafe(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(live(seed));
        }));
        assert!(lived.is_ok(), "seed {seed}");
    }
}
