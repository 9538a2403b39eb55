//! Every harness with its seeds and some thousand mutations of them, the same in each run.
//!
//! `FERROLAB_TEST_EXTENDED=1` runs 100,000 mutations for each harness.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::PathBuf;

use fuzz_harness::{
    Serializer, check_arrays, check_connection, check_frame, check_handshake, check_lock_policy,
    check_serializer,
};

/// Longest input after mutation, in bytes.
const MAX_INPUT_BYTES: usize = 4096;

/// SplitMix64 random numbers: the same in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }

    /// A byte that has a meaning in some format, or any byte.
    fn byte(&mut self) -> u8 {
        const MEANINGFUL: &[u8] = b"\0\x01\x7f\x80\xff()[]{}'\",:eEjx_#\\ .-09";
        match self.below(2) {
            0 => MEANINGFUL[self.below(MEANINGFUL.len())],
            _ => self.next() as u8,
        }
    }
}

fn read_seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
    let mut files: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    // A fuzzer leaves other files there, which differ between machines.
    files.retain(|file| file.file_name().unwrap().to_string_lossy().starts_with("seed-"));
    files.sort();
    assert!(files.len() >= 5, "{} has few seeds", folder.display());
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn mutate(data: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..=random.below(5) {
        let at = random.below(data.len() + 1);
        let to = at + random.below((data.len() - at).min(16) + 1);
        match random.below(6) {
            0 => data.insert(at, random.byte()),
            1 => drop(data.drain(at..to)),
            2 if at < data.len() => data[at] = random.byte(),
            3 if at < data.len() => data[at] ^= 1 << random.below(8),
            4 => {
                let piece = data[at..to].to_vec();
                data.splice(at..at, piece);
            }
            _ => {
                let from = random.below(other.len() + 1);
                let piece = &other[from..(from + random.below(64)).min(other.len())];
                data.splice(at..to, piece.iter().copied());
            }
        }
    }
    data.truncate(MAX_INPUT_BYTES);
}

fn run_harness(target: &str, mutations: usize, harness: impl Fn(&[u8])) {
    let seeds = read_seeds(target);
    for seed in &seeds {
        harness(seed);
    }
    let extended =
        std::env::var_os("FERROLAB_TEST_EXTENDED").is_some_and(|value| !value.is_empty());
    let mut random = Random(0x5079_726f);
    for _ in 0..if extended { 100_000 } else { mutations } {
        let mut data = seeds[random.below(seeds.len())].clone();
        let other = &seeds[random.below(seeds.len())];
        mutate(&mut data, other, &mut random);
        // The bytes of a failure, to be committed as a seed.
        let show = ShowOnPanic(&data);
        harness(&data);
        drop(show);
    }
}

struct ShowOnPanic<'a>(&'a [u8]);

impl Drop for ShowOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("with these bytes: b\"{}\"", self.0.escape_ascii());
        }
    }
}

#[test]
fn frames() {
    run_harness("frame", 4000, check_frame);
}

#[test]
fn serpent() {
    run_harness("serpent", 4000, |data| check_serializer(Serializer::Serpent, data));
}

#[test]
fn marshal() {
    run_harness("marshal", 4000, |data| check_serializer(Serializer::Marshal, data));
}

#[test]
fn arrays() {
    run_harness("arrays", 4000, check_arrays);
}

#[test]
fn json() {
    run_harness("json", 4000, |data| check_serializer(Serializer::Json, data));
}

#[test]
fn msgpack() {
    run_harness("msgpack", 4000, |data| check_serializer(Serializer::Msgpack, data));
}

#[test]
fn handshakes() {
    run_harness("handshake", 1000, check_handshake);
}

#[test]
fn connections() {
    run_harness("connection", 1000, check_connection);
}

#[test]
fn locks() {
    run_harness("lock_policy", 4000, check_lock_policy);
}
