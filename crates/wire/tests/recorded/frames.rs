//! Recorded messages, of every type and with every flag.

use std::collections::HashSet;

use wire::Limits;
use wire::exception::{Exception, unwrap_from_batch};
use wire::message::{
    Annotations, Body, Flags, FrameWriter, HEADER_LEN, Header, MessageType, PROTOCOL_VERSION,
};
use wire::serializer::Serializer;
use wire::value::{Dict, Value};

use crate::{RecordedEntry, entries, unhex};

struct RecordedFrame {
    entry: RecordedEntry,
    bytes: Vec<u8>,
    header: Header,
}

impl RecordedFrame {
    fn body(&self) -> Body<'_> {
        Body::parse(&self.header, &self.bytes[HEADER_LEN..], &Limits::default()).unwrap()
    }

    fn value(&self) -> Value {
        let serializer = Serializer::from_id(self.header.serializer).unwrap();
        serializer.decode(&self.body().payload, &Limits::default()).unwrap()
    }

    /// The payload's value as Python reads it.
    fn expected(&self) -> Value {
        // Values are compared, not their text, in which the order of a set may differ.
        Serializer::Serpent.decode(self.entry.get("value").as_bytes(), &Limits::default()).unwrap()
    }
}

fn recorded() -> Vec<RecordedFrame> {
    let read = |entry: RecordedEntry| {
        let bytes = unhex(entry.get("frame"));
        let header = bytes.first_chunk().unwrap();
        let header = Header::decode(header, &Limits::default()).unwrap();
        RecordedFrame { entry, bytes, header }
    };
    entries(include_str!("frames.txt")).into_iter().map(read).collect()
}

#[test]
fn headers_are_read_and_written() {
    for RecordedFrame { entry, bytes, header } in recorded() {
        let id: String = header.correlation_id.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            entry.get("header"),
            format!(
                "type={} serializer={} flags={} seq={} data={} annotations={} corr={id}",
                header.kind as u8,
                header.serializer,
                header.flags.bits(),
                header.seq,
                header.data_len,
                header.annotations_len,
            ),
            "{}",
            entry.title
        );
        assert_eq!(header.encode(), bytes[..HEADER_LEN], "{}", entry.title);
        assert_eq!(header.body_len(), bytes.len() - HEADER_LEN);
    }
}

#[test]
fn bodies_are_read() {
    for frame in recorded() {
        let title = frame.entry.title;
        let annotations: Dict = (frame.body().annotations.iter())
            .map(|(id, data)| (std::str::from_utf8(id).unwrap(), Value::bytes(*data)))
            .collect();
        assert_eq!(Value::from(annotations).to_string(), frame.entry.get("annotations"), "{title}");
        if frame.header.kind == MessageType::Ping {
            assert_eq!(Value::bytes(&*frame.body().payload), frame.expected(), "{title}");
        } else {
            assert_eq!(frame.value(), frame.expected(), "{title}");
        }
    }
}

#[test]
fn frames_are_written_to_the_byte() {
    let mut out = Vec::new();
    for frame in recorded() {
        let Header { kind, serializer, seq, flags, correlation_id, .. } = frame.header;
        let body = frame.body();
        let annotations: Annotations =
            body.annotations.iter().map(|(id, data)| (*id, data.to_vec())).collect();
        let compressed = flags.contains(Flags::COMPRESSED);
        let id = flags.contains(Flags::CORR_ID).then_some(correlation_id);

        let start = out.len();
        let mut writer = FrameWriter::begin(&mut out, kind, serializer, seq, &annotations).unwrap();
        writer.payload().extend_from_slice(&body.payload);
        writer.finish(flags, id, compressed, usize::MAX).unwrap();

        if compressed {
            // Another zlib may write other bytes, which must inflate to the same payload.
            let header = Header::decode(out[start..].first_chunk().unwrap(), &Limits::default());
            let header = header.unwrap();
            assert_eq!(header.flags, flags);
            let again = Body::parse(&header, &out[start + HEADER_LEN..], &Limits::default());
            assert_eq!(again.unwrap().payload, body.payload);
        } else {
            assert_eq!(out[start..], frame.bytes, "{}", frame.entry.title);
        }
    }
}

#[test]
fn calls_are_read_and_written() {
    let mut calls = 0;
    for frame in recorded() {
        let blob = frame.header.flags.contains(Flags::KEEPSERIALIZED);
        if frame.header.kind != MessageType::Invoke || blob {
            continue;
        }
        let title = frame.entry.title;
        let serializer = Serializer::from_id(frame.header.serializer).unwrap();
        let call = serializer.decode_call(&frame.body().payload, &Limits::default()).unwrap();
        let expected = frame.expected();
        let (parts, dict);
        let [object, method, args] = match &expected {
            Value::Dict(found) => {
                dict = found;
                ["object", "method", "params"].map(|name| dict.get(name).unwrap())
            }
            sequence => {
                parts = sequence.as_list().unwrap();
                [&parts[0], &parts[1], &parts[2]]
            }
        };
        assert_eq!(Some(call.object.as_str()), object.as_str(), "{title}");
        assert_eq!(Some(call.method.as_str()), method.as_str(), "{title}");
        assert_eq!(call.args, args.as_list().unwrap(), "{title}");

        let mut again = Vec::new();
        serializer.encode_call(call.as_ref(), &mut again).unwrap();
        assert_eq!(serializer.decode_call(&again, &Limits::default()), Ok(call), "{title}");
        calls += 1;
    }
    assert!(calls > 40);
}

#[test]
fn exceptions_are_read() {
    let mut classes = HashSet::new();
    for frame in recorded() {
        let value =
            if frame.header.kind == MessageType::Ping { Value::None } else { frame.value() };
        let raised = frame.header.flags.contains(Flags::EXCEPTION);
        assert_eq!(Exception::from_value(&value).is_some(), raised, "{}", frame.entry.title);
        classes.extend(Exception::from_value(&value).map(|exception| exception.to_string()));
        let results = value.as_list().unwrap_or_default();
        classes.extend(results.iter().filter_map(unwrap_from_batch).map(|e| format!("batch: {e}")));
    }
    for expected in [
        "ZeroDivisionError: division by zero",
        "NamingError: ('no such name', 5)",
        "DaemonError: unknown object",
        "AttributeError: 'Thing' object has no attribute 'nothing'",
        "StopIteration",
        "ProtocolError: result of call is an iterator",
        "batch: ZeroDivisionError: division by zero",
    ] {
        assert!(classes.contains(expected), "{expected} is not among {classes:#?}");
    }
}

#[test]
fn every_type_and_flag_is_recorded() {
    let mut kinds = HashSet::new();
    let mut flags = Flags::empty();
    for RecordedFrame { header, .. } in recorded() {
        kinds.insert(header.kind);
        flags |= header.flags;
    }
    assert_eq!(kinds.len(), 6);
    assert_eq!(flags.bits(), 0b111_1111);
    assert_eq!(PROTOCOL_VERSION, 502);
}
