//! Counter of whole answers in a stream of bytes.
//!
//! It keeps no bytes but those of an incomplete header. An exception is decoded for its text, and
//! ends the measurement.

use wire::Limits;
use wire::exception::Exception;
use wire::message::{Body, Flags, HEADER_LEN, Header, MessageType};
use wire::serializer::Serializer;

/// The position in a stream of answers.
#[derive(Debug)]
pub(crate) enum AnswerCounter {
    /// Messages of Pyro5.
    Framed { limits: Limits, state: FrameState },
    /// Answers of a fixed length in bytes, and the bytes missing from the present one.
    Fixed { length: usize, missing: usize },
}

/// The position in a message.
#[derive(Debug)]
pub(crate) enum FrameState {
    /// In a header; the bytes of it so far.
    Header(Vec<u8>),
    /// In a body; the number of bytes missing.
    Body(usize),
    /// In the body of an exception; the bytes of it so far.
    Exception(Header, Vec<u8>),
}

impl AnswerCounter {
    pub(crate) fn framed() -> Self {
        AnswerCounter::Framed { limits: Limits::default(), state: FrameState::Header(Vec::new()) }
    }

    pub(crate) fn fixed(length: usize) -> Self {
        AnswerCounter::Fixed { length, missing: length }
    }

    /// Takes bytes and returns the number of answers that they complete.
    pub(crate) fn count_answers(&mut self, mut bytes: &[u8]) -> Result<usize, String> {
        let mut done = 0;
        match self {
            AnswerCounter::Fixed { length, missing } => {
                while *missing <= bytes.len() {
                    bytes = bytes.get(*missing..).unwrap_or_default();
                    *missing = *length;
                    done += 1;
                }
                *missing -= bytes.len();
            }
            AnswerCounter::Framed { limits, state } => {
                while !bytes.is_empty() {
                    let (left, complete) = state.advance(bytes, limits)?;
                    bytes = left;
                    done += usize::from(complete);
                }
            }
        }
        Ok(done)
    }
}

impl FrameState {
    /// Takes the bytes that belong to this state; returns the others, and whether an answer ended.
    fn advance<'b>(
        &mut self,
        bytes: &'b [u8],
        limits: &Limits,
    ) -> Result<(&'b [u8], bool), String> {
        match self {
            FrameState::Header(seen) => {
                // Most headers arrive whole.
                let part = bytes.len().min(HEADER_LEN - seen.len());
                let (part, left) = bytes.split_at(part);
                let header = match (seen.is_empty(), part.first_chunk::<HEADER_LEN>()) {
                    (true, Some(whole)) => Header::decode(whole, limits),
                    _ => {
                        seen.extend_from_slice(part);
                        match seen.first_chunk::<HEADER_LEN>() {
                            Some(whole) => Header::decode(whole, limits),
                            None => return Ok((left, false)),
                        }
                    }
                };
                let header = header.map_err(|error| format!("not an answer: {error}"))?;
                if !matches!(header.kind, MessageType::Result) {
                    return Err(format!("an answer of another type: {:?}", header.kind));
                }
                if header.flags.contains(Flags::EXCEPTION) {
                    *self = FrameState::Exception(header, Vec::new());
                    return self.advance(left, limits);
                }
                seen.clear();
                if header.body_len() == 0 {
                    return Ok((left, true));
                }
                if left.len() >= header.body_len() {
                    return Ok((left.get(header.body_len()..).unwrap_or_default(), true));
                }
                *self = FrameState::Body(header.body_len());
                Ok((left, false))
            }
            FrameState::Body(missing) => {
                let part = bytes.len().min(*missing);
                *missing -= part;
                let complete = *missing == 0;
                if complete {
                    *self = FrameState::Header(Vec::new());
                }
                Ok((bytes.get(part..).unwrap_or_default(), complete))
            }
            FrameState::Exception(header, seen) => {
                seen.extend_from_slice(bytes);
                if seen.len() < header.body_len() {
                    return Ok((&[], false));
                }
                Err(describe_exception(header, seen, limits))
            }
        }
    }
}

/// The text of an exception.
fn describe_exception(header: &Header, body: &[u8], limits: &Limits) -> String {
    let exception = Body::parse(header, body, limits).ok().and_then(|body| {
        let serializer = Serializer::from_id(header.serializer)?;
        Exception::from_value(&serializer.decode(&body.payload, limits).ok()?)
    });
    match exception {
        Some(exception) => format!("the server raised {exception}"),
        None => "the server raised an exception".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::message::{Annotations, FrameWriter};
    use wire::value::Value;

    fn answer(flags: Flags, value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        let none = Annotations::new();
        let mut frame = FrameWriter::begin(&mut out, MessageType::Result, 2, 0, &none).unwrap();
        Serializer::Marshal.encode(value, frame.payload()).unwrap();
        frame.finish(flags, None, false, usize::MAX).unwrap();
        out
    }

    #[test]
    fn answers_are_counted_however_they_arrive() {
        let three = [1, 20, 300].map(|size| answer(Flags::default(), &Value::bytes(vec![0; size])));
        let bytes = three.concat();
        for size in [1, 7, 39, 40, 41, bytes.len()] {
            let mut answers = AnswerCounter::framed();
            let counted: usize =
                bytes.chunks(size).map(|part| answers.count_answers(part).unwrap()).sum();
            assert_eq!(counted, 3, "in pieces of {size}");
        }
        let mut fixed = AnswerCounter::fixed(10);
        let counted: Vec<_> =
            [3, 7, 25].map(|size| fixed.count_answers(&vec![0; size]).unwrap()).into();
        assert_eq!(counted, [0, 1, 2]);
    }

    #[test]
    fn an_exception_ends_it() {
        let raised = Exception::value_error("no such range").to_value();
        let bytes = answer(Flags::EXCEPTION, &raised);
        let error = AnswerCounter::framed().count_answers(&bytes).unwrap_err();
        assert!(error.contains("no such range"), "{error}");
    }
}
