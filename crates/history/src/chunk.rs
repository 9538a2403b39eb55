//! Chunk: consecutive samples of one series as compressed bytes, with a summary.
//!
//! ```text
//! zlib stream of
//!   version    1 byte, 1
//!   count      number
//!   time       signed number: microseconds since 1970 of the first sample
//!   period     signed number: the middle one of the steps between two samples
//!   steps      count - 1 signed numbers: step less period
//!   runs       number of runs; each a number of samples and 1 byte: quality in the upper half,
//!              shape in the lower one
//!   texts      number of texts; each a length and its bytes
//!   coding     1 byte
//!   words      of each sample with a value, as the coding says
//!
//! shape        0 nothing · 1 float · 2 whole number · 3 true or false · 4 text (its position among
//!              the texts) · 5 whole number of more than 53 bits (a word of its bits)
//! coding       0 the bits of doubles, all first bytes, then all second bytes, …
//!              1 the same of each one's bits less the bits of the one before
//!              16 + d: number with d decimals: signed numbers, value * 10^d less the one before
//! ```
//!
//! Instruments send decimals: as whole numbers these take one to three bytes.

use std::io::{Read, Write};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use crate::bytes::{Reader, put_number, put_signed, put_text};
use crate::sample::{Quality, Reading, Sample};

const VERSION: u8 = 1;
/// Samples of one chunk, at most.
pub(crate) const MAX_SAMPLES: usize = 512;
/// Bytes that a chunk inflates to, at most: samples with texts of a kilobyte each.
const MAX_INFLATED: u64 = 1024 * 1024;

const RAW: u8 = 0;
const DELTAS: u8 = 1;
const DECIMALS: u8 = 16;
/// Decimals that are tried.
const MAX_DECIMALS: i32 = 9;
/// Whole numbers below are exact as doubles.
const EXACT: f64 = 9_007_199_254_740_992.0;

const NOTHING: u8 = 0;
const FLOAT: u8 = 1;
const INT: u8 = 2;
const BOOL: u8 = 3;
const TEXT: u8 = 4;
const LONG: u8 = 5;

/// The facts by which a query decides whether it reads a chunk's samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Summary {
    /// Time of the first sample, and of the last one.
    pub(crate) first_time: i64,
    pub(crate) last_time: i64,
    pub(crate) count: u64,
    /// Samples that have a number.
    pub(crate) numbers: u64,
    pub(crate) minimum: f64,
    pub(crate) maximum: f64,
    pub(crate) sum: f64,
    pub(crate) first: f64,
    pub(crate) last: f64,
    /// One bit for each quality that occurs.
    pub(crate) qualities: u8,
}

impl Summary {
    pub(crate) fn of(samples: &[Sample]) -> Summary {
        let mut summary = Summary { count: samples.len() as u64, ..Summary::default() };
        if let [first, ..] = samples
            && let [.., last] = samples
        {
            (summary.first_time, summary.last_time) = (first.time, last.time);
        }
        for sample in samples {
            summary.qualities |= 1 << sample.quality.code();
            if let Some(number) = sample.reading.number() {
                if summary.numbers == 0 {
                    (summary.minimum, summary.maximum) = (number, number);
                    summary.first = number;
                }
                summary.numbers += 1;
                summary.minimum = summary.minimum.min(number);
                summary.maximum = summary.maximum.max(number);
                summary.sum += number;
                summary.last = number;
            }
        }
        summary
    }

    /// Whether the samples need not be read where all of them are in one bucket.
    pub(crate) fn says_all(&self) -> bool {
        self.numbers == self.count && self.qualities == 1 << Quality::Good.code()
    }
}

/// A word as it is stored, and its shape.
fn word_of(reading: &Reading, texts: &mut Vec<Arc<str>>) -> (u8, Option<u64>) {
    let double = |shape, number: f64| (shape, Some(number.to_bits()));
    match reading {
        Reading::Nothing => (NOTHING, None),
        Reading::Float(number) => double(FLOAT, *number),
        Reading::Int(number) if number.unsigned_abs() <= EXACT as u64 => {
            double(INT, *number as f64)
        }
        Reading::Int(number) => (LONG, Some(number.cast_unsigned())),
        Reading::Bool(flag) => double(BOOL, f64::from(u8::from(*flag))),
        Reading::Text(text) => {
            let known = texts.iter().position(|known| known == text);
            let code = known.unwrap_or_else(|| {
                texts.push(Arc::clone(text));
                texts.len() - 1
            });
            double(TEXT, code as f64)
        }
    }
}

fn reading_of(shape: u8, word: u64, texts: &[Arc<str>]) -> Option<Reading> {
    let number = f64::from_bits(word);
    Some(match shape {
        FLOAT => Reading::Float(number),
        INT => Reading::Int(number as i64),
        BOOL => Reading::Bool(number != 0.0),
        TEXT if number >= 0.0 => Reading::Text(Arc::clone(texts.get(number as usize)?)),
        LONG => Reading::Int(word.cast_signed()),
        _ => return None,
    })
}

/// The bytes of a chunk.
pub(crate) fn encode(samples: &[Sample]) -> Vec<u8> {
    let mut head = vec![VERSION];
    put_number(&mut head, samples.len() as u64);
    put_signed(&mut head, samples.first().map_or(0, |sample| sample.time));
    let steps: Vec<i64> =
        samples.windows(2).map(|pair| pair[1].time.wrapping_sub(pair[0].time)).collect();
    let period = middle(&steps);
    put_signed(&mut head, period);
    steps.iter().for_each(|step| put_signed(&mut head, step.wrapping_sub(period)));
    let (mut runs, mut texts, mut words) = (Vec::<(u64, u8)>::new(), Vec::new(), Vec::new());
    let mut is_plain = true;
    for sample in samples {
        let (shape, word) = word_of(&sample.reading, &mut texts);
        words.extend(word);
        is_plain &= shape != LONG;
        let mark = sample.quality.code() << 4 | shape;
        match runs.last_mut() {
            Some((length, last)) if *last == mark => *length += 1,
            _ => runs.push((1, mark)),
        }
    }
    put_number(&mut head, runs.len() as u64);
    for (length, mark) in runs {
        put_number(&mut head, length);
        head.push(mark);
    }
    put_number(&mut head, texts.len() as u64);
    texts.iter().for_each(|text| put_text(&mut head, text));
    let decimals = is_plain.then(|| as_decimals(&words)).flatten();
    if let Some((decimals, numbers)) = decimals {
        head.push(DECIMALS + decimals);
        let mut last = 0;
        for number in numbers {
            put_signed(&mut head, number - last);
            last = number;
        }
        return deflate(&head);
    }
    let coded = |coding, words: &[u64]| {
        let mut bytes = head.clone();
        bytes.push(coding);
        put_planes(&mut bytes, words);
        deflate(&bytes)
    };
    let mut last = 0;
    let deltas: Vec<u64> =
        words.iter().map(|word| word.wrapping_sub(std::mem::replace(&mut last, *word))).collect();
    let (raw, deltas) = (coded(RAW, &words), coded(DELTAS, &deltas));
    if deltas.len() < raw.len() { deltas } else { raw }
}

/// The samples of a chunk; `None` where the bytes are damaged.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<Sample>> {
    let inflated = inflate(bytes)?;
    let mut reader = Reader(&inflated);
    if reader.byte()? != VERSION {
        return None;
    }
    let count = usize::try_from(reader.number()?).ok().filter(|count| *count <= MAX_SAMPLES)?;
    let mut time = reader.signed()?;
    let period = reader.signed()?;
    let mut times = Vec::with_capacity(count);
    for index in 0..count {
        if index > 0 {
            time = time.wrapping_add(period).wrapping_add(reader.signed()?);
        }
        times.push(time);
    }
    let mut marks = Vec::with_capacity(count);
    for _ in 0..reader.length()? {
        let length = usize::try_from(reader.number()?).ok()?;
        if length > count - marks.len() {
            return None;
        }
        marks.resize(marks.len() + length, reader.byte()?);
    }
    let texts = reader.length()?;
    let texts = (0..texts).map(|_| reader.text().map(Arc::from)).collect::<Option<Vec<_>>>()?;
    let has_word = |mark: &&u8| **mark & 0xf != NOTHING;
    let words = words(&mut reader, marks.iter().filter(has_word).count())?;
    if marks.len() != count {
        return None;
    }
    let mut words = words.into_iter();
    let samples = times.into_iter().zip(marks).map(|(time, mark)| {
        let reading = match mark & 0xf {
            NOTHING => Reading::Nothing,
            shape => reading_of(shape, words.next()?, &texts)?,
        };
        Some(Sample { time, reading, quality: Quality::of_code(mark >> 4)? })
    });
    samples.collect()
}

fn words(reader: &mut Reader<'_>, count: usize) -> Option<Vec<u64>> {
    let coding = reader.byte()?;
    if let Some(decimals) = coding.checked_sub(DECIMALS) {
        let scale = scale_of(i32::from(decimals).min(MAX_DECIMALS));
        let mut number = 0_i64;
        let mut next = || {
            number = number.wrapping_add(reader.signed()?);
            Some((number as f64 / scale).to_bits())
        };
        return (0..count).map(|_| next()).collect();
    }
    let planes = reader.slice(count.checked_mul(8)?)?;
    let mut words = vec![0_u64; count];
    for plane in 0..8 {
        let bytes = &planes[plane * count..][..count];
        for (word, byte) in words.iter_mut().zip(bytes) {
            *word |= u64::from(*byte) << (plane * 8);
        }
    }
    if coding == DELTAS {
        let mut last = 0_u64;
        for word in &mut words {
            last = last.wrapping_add(*word);
            *word = last;
        }
    }
    (coding <= DELTAS).then_some(words)
}

/// The doubles as whole numbers with so many decimals, where that loses nothing.
fn as_decimals(words: &[u64]) -> Option<(u8, Vec<i64>)> {
    let mut decimals = 0;
    let mut numbers = Vec::with_capacity(words.len());
    'more: while decimals <= MAX_DECIMALS {
        let scale = scale_of(decimals);
        numbers.clear();
        for word in words {
            let scaled = (f64::from_bits(*word) * scale).round();
            let is_same = scaled.abs() < EXACT && (scaled as i64 as f64 / scale).to_bits() == *word;
            if !is_same {
                decimals += 1;
                continue 'more;
            }
            numbers.push(scaled as i64);
        }
        return Some((u8::try_from(decimals).ok()?, numbers));
    }
    None
}

fn scale_of(decimals: i32) -> f64 {
    10_f64.powi(decimals)
}

fn put_planes(bytes: &mut Vec<u8>, words: &[u64]) {
    for plane in 0..8 {
        bytes.extend(words.iter().map(|word| (word >> (plane * 8)) as u8));
    }
}

fn middle(steps: &[i64]) -> i64 {
    let mut sorted = steps.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::with_capacity(bytes.len()), Compression::default());
    // Writing into memory cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

fn inflate(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut inflated = Vec::with_capacity(8 * 1024);
    let mut decoder = ZlibDecoder::new(bytes).take(MAX_INFLATED);
    decoder.read_to_end(&mut inflated).ok()?;
    Some(inflated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(time: i64, reading: Reading) -> Sample {
        Sample { time, reading, quality: Quality::Good }
    }

    /// Numbers like those of an instrument: a noise that is the same in each run.
    fn noise(count: usize) -> impl Iterator<Item = f64> {
        let mut state = 1_u64;
        (0..count).map(move |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        })
    }

    #[test]
    fn samples_come_back_as_they_were() {
        let text = |text: &str| Reading::Text(text.into());
        let readings = [
            vec![],
            vec![Reading::Float(0.1)],
            vec![Reading::Float(f64::NAN), Reading::Float(-0.0), Reading::Float(f64::INFINITY)],
            vec![Reading::Int(1 << 60), Reading::Int(-7), Reading::Float(0.5)],
            vec![Reading::Bool(true), Reading::Nothing, Reading::Bool(false)],
            vec![text("on"), text("off"), text("on"), text(""), Reading::Float(1e300)],
            noise(300).map(|noise| Reading::Float(20.0 + noise)).collect(),
            noise(512).map(|noise| Reading::Float((noise * 1e4).round() / 1e4)).collect(),
            (0..100).map(Reading::Int).collect(),
        ];
        for readings in readings {
            let times = [0, 1_000_100, 1_999_900, -5, i64::MAX].into_iter().cycle();
            let mut samples: Vec<Sample> =
                times.zip(readings).map(|(time, reading)| sample(time, reading)).collect();
            if let Some(last) = samples.last_mut() {
                last.quality = Quality::Error;
            }
            let decoded = decode(&encode(&samples)).unwrap();
            assert_eq!(format!("{decoded:?}"), format!("{samples:?}"));
        }
    }

    #[test]
    fn damaged_bytes_are_no_samples() {
        let samples: Vec<Sample> = noise(300)
            .enumerate()
            .map(|(index, noise)| sample(index as i64 * 1_000_000, Reading::Float(noise)))
            .collect();
        let bytes = encode(&samples);
        assert_eq!(decode(&bytes[..bytes.len() / 2]), None);
        for at in (0..bytes.len()).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert_eq!(decode(&damaged), None, "byte {at}");
        }
    }

    #[test]
    fn a_sample_takes_few_bytes() {
        let jitter = |index: usize, noise: f64| index as i64 * 1_000_000 + (noise * 1000.0) as i64;
        type Value = fn(f64) -> f64;
        let cases: [(&str, Value, f64); 3] = [
            ("full noise", |noise| 20.0 + noise, 9.5),
            ("three decimals", |noise| ((20.0 + noise) * 1000.0).round() / 1000.0, 4.0),
            ("a flat line", |_| 20.0, 2.5),
        ];
        for (what, value, most) in cases {
            let samples: Vec<Sample> = noise(300)
                .enumerate()
                .map(|(at, noise)| sample(jitter(at, noise), Reading::Float(value(noise))))
                .collect();
            let each = encode(&samples).len() as f64 / samples.len() as f64;
            println!("{what}: {each:.2} bytes a sample");
            assert!(each < most, "{what}: {each}");
        }
    }

    #[test]
    fn a_summary_has_the_numbers_only() {
        let samples = [
            sample(5, Reading::Float(2.0)),
            Sample::gap(6),
            sample(7, Reading::Int(-1)),
            sample(8, Reading::Float(f64::NAN)),
        ];
        let summary = Summary::of(&samples);
        assert_eq!((summary.minimum, summary.maximum, summary.sum), (-1.0, 2.0, 1.0));
        assert_eq!((summary.first, summary.last, summary.numbers), (2.0, -1.0, 2));
        assert_eq!((summary.first_time, summary.last_time, summary.count), (5, 8, 4));
        assert!(!summary.says_all() && Summary::of(&samples[..1]).says_all());
    }
}
