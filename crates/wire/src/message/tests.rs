use super::*;
use crate::limits::Limits;

const ID: [u8; 16] = [7; 16];

/// A frame with these annotations and this payload.
fn frame(annotations: &Annotations, payload: &[u8], compress: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = FrameWriter::begin(&mut out, MessageType::Invoke, 1, 9, annotations).unwrap();
    writer.payload().extend_from_slice(payload);
    writer.finish(Flags::ONEWAY, Some(ID), compress, usize::MAX).unwrap();
    out
}

fn header(frame: &[u8], limits: &Limits) -> Result<Header, FrameError> {
    Header::decode(frame.first_chunk().unwrap(), limits)
}

fn parse<'a>(frame: &'a [u8], limits: &Limits) -> Result<Body<'a>, FrameError> {
    let header = header(frame, limits)?;
    Body::parse(&header, &frame[HEADER_LEN..], limits)
}

#[test]
fn a_frame_is_read_as_it_was_written() {
    let annotations = vec![(*b"ABCD", vec![1, 2]), (*b"EFGH", vec![])];
    for compress in [false, true] {
        let frame = frame(&annotations, &[b'x'; 101], compress);
        let header = header(&frame, &Limits::default()).unwrap();
        assert_eq!(header.kind, MessageType::Invoke);
        assert_eq!((header.serializer, header.seq), (1, 9));
        assert_eq!(header.correlation_id, ID);
        assert_eq!(header.flags.contains(Flags::COMPRESSED), compress);
        assert!(header.flags.contains(Flags::ONEWAY | Flags::CORR_ID));
        let body = parse(&frame, &Limits::default()).unwrap();
        assert_eq!(body.annotations, [(*b"ABCD", &[1u8, 2][..]), (*b"EFGH", &[])]);
        assert_eq!(body.annotation(b"ABCD"), Some(&[1u8, 2][..]));
        assert_eq!(body.annotation(b"NONE"), None);
        assert_eq!(*body.payload, [b'x'; 101]);
    }
}

#[test]
fn small_payloads_stay_uncompressed() {
    let frame = frame(&Annotations::new(), &[b'x'; 100], true);
    assert_eq!(frame.len(), HEADER_LEN + 100);
    assert!(!header(&frame, &Limits::default()).unwrap().flags.contains(Flags::COMPRESSED));
}

#[test]
fn invalid_headers_are_refused() {
    let good = frame(&Annotations::new(), b"", false);
    let cases: [(usize, u8, FrameError, &str); 5] = [
        (0, b'p', FrameError::NotPyro, "invalid data: not a Pyro message"),
        (5, 0xf5, FrameError::Version(501), "invalid protocol version: 501"),
        (6, 7, FrameError::UnknownType(7), "invalid msg type 7 received"),
        (6, 0, FrameError::UnknownType(0), "invalid msg type 0 received"),
        (38, 0, FrameError::BadMagic, "invalid message or protocol version"),
    ];
    for (at, byte, error, text) in cases {
        let mut bad = good.clone();
        bad[at] = byte;
        assert_eq!(header(&bad, &Limits::default()), Err(error.clone()));
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn announced_lengths_are_limited() {
    let limits =
        Limits { message: 1000, annotation_bytes: 100, annotations: 2, ..Limits::default() };
    let sized = |data: u32, annotations: u32| {
        let mut header = header(&frame(&Annotations::new(), b"", false), &limits).unwrap();
        (header.data_len, header.annotations_len) = (data, annotations);
        Header::decode(&header.encode(), &limits).map(|header| header.body_len())
    };
    assert_eq!(sized(900, 100), Ok(1000));
    assert_eq!(sized(1001, 0), Err(FrameError::TooLarge { size: 1001, max: 1000 }));
    assert_eq!(
        sized(u32::MAX, u32::MAX).unwrap_err().to_string(),
        "message too large (8589934590, max=1000)"
    );
    assert_eq!(
        sized(0, 101),
        Err(FrameError::Annotation(AnnotationError::TooLarge { size: 101, max: 100 }))
    );
    let chunks = |count| frame(&vec![(*b"ABCD", vec![]); count], b"", false);
    assert!(parse(&chunks(2), &limits).is_ok());
    assert_eq!(
        parse(&chunks(3), &limits),
        Err(FrameError::Annotation(AnnotationError::TooMany { max: 2 }))
    );
}

#[test]
fn malformed_annotations_are_refused() {
    let good = frame(&vec![(*b"ABCD", vec![1, 2, 3])], b"payload", false);
    let limits = Limits::default();
    // A chunk's length that reaches into the payload, or leaves less than a chunk's head.
    for len in [4, 7, 255, 0, 2] {
        let mut bad = good.clone();
        bad[HEADER_LEN + 7] = len;
        assert_eq!(
            parse(&bad, &limits),
            Err(FrameError::Annotation(AnnotationError::ChunkLength)),
            "{len}"
        );
    }
    let mut bad = good.clone();
    bad[HEADER_LEN] = 0xe9;
    assert_eq!(parse(&bad, &limits), Err(FrameError::Annotation(AnnotationError::Id)));
    let head = header(&good, &limits).unwrap();
    assert_eq!(Body::parse(&head, &good[HEADER_LEN..][1..], &limits), Err(FrameError::Length));
}

#[test]
fn the_later_of_two_annotations_with_one_id_counts() {
    let frame =
        frame(&vec![(*b"ABCD", vec![1]), (*b"XXXX", vec![]), (*b"ABCD", vec![2])], b"", false);
    let body = parse(&frame, &Limits::default()).unwrap();
    assert_eq!(body.annotations, [(*b"ABCD", &[2u8][..]), (*b"XXXX", &[])]);
}

#[test]
fn inflating_is_limited() {
    let bomb = frame(&Annotations::new(), &vec![0; 1 << 20], true);
    assert!(bomb.len() < 5000);
    let inflated = |inflated| {
        let limits = Limits { inflated, ..Limits::default() };
        parse(&bomb, &limits).map(|body| body.payload.len())
    };
    assert_eq!(inflated(1 << 20), Ok(1 << 20));
    for max in [1, 1000, (1 << 20) - 1] {
        assert_eq!(inflated(max), Err(FrameError::Inflate(InflateError::TooLarge { max })));
    }
    assert_eq!(inflated(0), Err(FrameError::Inflate(InflateError::Refused)));
    assert_eq!(parse(&bomb, &Limits::handshake()), Err(FrameError::Inflate(InflateError::Refused)));
}

#[test]
fn payloads_that_do_not_inflate_are_refused() {
    let good = frame(&Annotations::new(), &(0..=255).collect::<Vec<u8>>(), true);
    let corrupt = Err(FrameError::Inflate(InflateError::Corrupt));
    let with_payload = |payload: &[u8]| {
        let mut header = header(&good, &Limits::default()).unwrap();
        header.data_len = payload.len() as u32;
        let body = Body::parse(&header, payload, &Limits::default());
        body.map(|body| body.payload.len())
    };
    let payload = &good[HEADER_LEN..];
    assert_eq!(with_payload(payload), Ok(256));
    assert_eq!(with_payload(&[payload, b"behind"].concat()), Ok(256));
    assert_eq!(with_payload(b""), corrupt);
    assert_eq!(with_payload(b"no zlib at all"), corrupt);
    for cut in 1..payload.len() {
        assert_eq!(with_payload(&payload[..cut]), corrupt, "{cut}");
    }
}

#[test]
fn an_unfinished_frame_leaves_the_buffer_unchanged() {
    let mut out = b"before".to_vec();
    let ids = vec![(*b"ABCD", vec![1])];
    {
        let mut writer = FrameWriter::begin(&mut out, MessageType::Result, 1, 0, &ids).unwrap();
        writer.payload().extend_from_slice(b"half a");
    }
    assert_eq!(out, b"before");

    let mut writer = FrameWriter::begin(&mut out, MessageType::Result, 1, 0, &ids).unwrap();
    writer.payload().extend_from_slice(&[0; 11]);
    let error = writer.finish(Flags::empty(), None, false, 19).unwrap_err();
    assert_eq!(error.to_string(), "message too large (20, max=19)");
    assert_eq!(out, b"before");

    let ids = vec![("é\0\0".as_bytes().try_into().unwrap(), vec![])];
    let error = FrameWriter::begin(&mut out, MessageType::Result, 1, 0, &ids).unwrap_err();
    assert_eq!(error.to_string(), "annotation identifier must be 4 ascii characters");
    assert_eq!(out, b"before");
}

#[test]
fn the_tail_of_a_payload_may_stay_out_of_the_buffer() {
    let ids = vec![(*b"ABCD", vec![1])];
    let mut whole = Vec::new();
    let mut writer = FrameWriter::begin(&mut whole, MessageType::Result, 2, 7, &ids).unwrap();
    writer.payload().extend_from_slice(b"beginning and end");
    writer.finish(Flags::BATCH, Some([3; 16]), false, 26).unwrap();

    let mut out = Vec::new();
    let mut writer = FrameWriter::begin(&mut out, MessageType::Result, 2, 7, &ids).unwrap();
    writer.payload().extend_from_slice(b"beginning ");
    writer.finish_with_tail(7, Flags::BATCH, Some([3; 16]), 26).unwrap();
    assert_eq!([out.as_slice(), b"and end"].concat(), whole);

    let mut out = Vec::new();
    for behind in [18, usize::MAX] {
        let writer = FrameWriter::begin(&mut out, MessageType::Result, 2, 7, &ids).unwrap();
        let error = writer.finish_with_tail(behind, Flags::empty(), None, 26).unwrap_err();
        assert!(matches!(error, FrameError::TooLarge { max: 26, .. }), "{error}");
        assert!(out.is_empty());
    }
}

#[test]
fn flags_print_by_name() {
    let cases = [
        (Flags::empty(), "Flags(0x0)"),
        (Flags::BATCH | Flags::ONEWAY, "Flags(ONEWAY | BATCH)"),
        (Flags::from_bits_retain(0x1001), "Flags(EXCEPTION | 0x1000)"),
    ];
    for (flags, text) in cases {
        assert_eq!(format!("{flags:?}"), text);
    }
}
