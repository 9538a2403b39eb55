//! A check of the lock's invariants under arbitrary events, with a second, plainer bookkeeping.
//!
//! The fuzz target and the property test bring the events. It panics where an invariant is broken;
//! nothing of the product calls it.

#![allow(clippy::panic, reason = "to panic is what a check is for")]

mod step;
mod world;

pub use step::Step;
use world::World;

/// The fuzz target: every four bytes are a step; the first one says whether the object has a safe
/// state, and the lease of owners.
pub fn run_bytes(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let lease = Some(first >> 4).filter(|seconds| *seconds > 0);
    let steps: Vec<Step> = rest
        .chunks_exact(4)
        .filter_map(|chunk| <[u8; 4]>::try_from(chunk).ok())
        .map(Step::from_bytes)
        .collect();
    run(first % 2 == 0, lease, &steps);
}

/// Runs the steps, then ends every client. With a `lease`, owners may be silent for so many
/// seconds.
///
/// # Panics
/// An invariant does not hold.
pub fn run(rests: bool, lease: Option<u8>, steps: &[Step]) {
    let mut world = World::new(rests, lease);
    for step in steps {
        world.step(*step);
    }
    world.end_clients();
    // Longer than any token lives.
    for _ in 0..3 {
        world.step(Step::Pass(250));
        world.step(Step::Rested);
    }
    world.assert_is_over();
}
