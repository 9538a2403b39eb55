//! Generator of the seeds in `fuzz/corpus` from recorded messages of Pyro5
//! (`crates/wire/tests/recorded`).
//!
//! `cargo run -p fuzz-harness --example seeds`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a tool for a checkout: it may just stop, and be run again"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest seed, in bytes. Longer ones reach no more code.
const MAX_SEED_BYTES: usize = 300;
/// Most seeds for one target.
const MAX_SEEDS: usize = 40;

fn main() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let recorded = root.join("crates/wire/tests/recorded");
    let frames = fs::read_to_string(recorded.join("frames.txt")).unwrap();
    let values = fs::read_to_string(recorded.join("values.txt")).unwrap();
    let corpus = root.join("fuzz/corpus");

    let sent: Vec<Vec<u8>> = recorded_bytes(&frames, "  frame ").collect();
    write_seeds(&corpus, "frame", sent.iter().cloned());
    for serializer in ["serpent", "marshal", "json", "msgpack"] {
        write_seeds(
            &corpus,
            serializer,
            recorded_bytes(&values, &format!("  {serializer} writes ")),
        );
    }
    // Type 1 is CONNECT, 4 INVOKE, 6 PING. A first byte of 0 sends the other bytes unchanged.
    let of_type =
        |kinds: &'static [u8]| sent.iter().filter(move |frame| kinds.contains(&frame[6])).cloned();
    let raw = |frame: Vec<u8>| [vec![0], frame].concat();
    let payloads = of_type(&[1]).map(|frame| {
        let manner = [1, frame[7] - 1, 0].to_vec();
        [manner, frame[40..].to_vec()].concat()
    });
    write_seeds(&corpus, "handshake", of_type(&[1]).map(raw).chain(payloads));

    let mut conversations = Vec::new();
    for (manner, hello) in of_type(&[1]).enumerate() {
        // All messages have the serializer of the handshake.
        let calls = of_type(&[4, 6]).filter(|frame| frame[7] == hello[7]).flatten();
        let said: Vec<u8> = hello.iter().copied().chain(calls).collect();
        conversations.push([vec![u8::try_from(manner).unwrap() << 1], said].concat());
    }
    // Steps: calls of every method, streams, batches, pings and noise, in each serializer.
    for serializer in 0..4_u8 {
        for (steps, manner) in [(&[3, 0][..], 0), (&[4, 1], 2), (&[5, 2], 4), (&[0, 1], 24)] {
            let calls = (0..18_u8).flat_map(|method| {
                let argument = [1, 2, method.wrapping_mul(31), 1];
                [&[steps[0], steps[1] % 2, method, steps[1], method][..], &argument].concat()
            });
            let manner = 1 | manner | (serializer << 6);
            conversations.push([manner].into_iter().chain(calls).collect());
        }
    }
    let folder = clear_numbered_seeds(&corpus, "connection");
    for (number, conversation) in conversations.iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:02}")), conversation).unwrap();
    }
}

/// The bytes in hexadecimal after `word`, in every line that begins with it.
fn recorded_bytes<'a>(recording: &'a str, word: &str) -> impl Iterator<Item = Vec<u8>> + use<'a> {
    let word = word.to_owned();
    let hex = recording.lines().filter_map(move |line| line.strip_prefix(&word));
    hex.filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit())).map(|hex| {
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len() / 2).map(|at| byte(2 * at)).collect()
    })
}

fn write_seeds(corpus: &Path, target: &str, seeds: impl Iterator<Item = Vec<u8>>) {
    let folder = clear_numbered_seeds(corpus, target);
    let seeds: BTreeSet<Vec<u8>> = seeds.filter(|seed| seed.len() <= MAX_SEED_BYTES).collect();
    // A selection evenly spread over all seeds.
    let step = seeds.len().div_ceil(MAX_SEEDS).max(1);
    for (number, seed) in seeds.iter().step_by(step).enumerate() {
        fs::write(folder.join(format!("seed-{number:02}")), seed).unwrap();
    }
}

/// Removes the numbered seeds from the target's folder and returns the folder.
fn clear_numbered_seeds(corpus: &Path, target: &str) -> PathBuf {
    let folder = corpus.join(target);
    fs::create_dir_all(&folder).unwrap();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // A seed with a name is a past failure and stays.
        let number = name.strip_prefix("seed-").unwrap_or_default();
        if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
            fs::remove_file(path).unwrap();
        }
    }
    folder
}
