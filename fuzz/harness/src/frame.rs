//! Harness of message framing: a frame that is read can be written and read again, within its
//! limits.

use wire::Limits;
use wire::message::{Annotations, Body, Flags, FrameError, FrameWriter, HEADER_LEN, Header};

/// Longest body, in bytes, for which missing bytes are filled in with zeros.
const MAX_PADDED_BODY_BYTES: usize = 1 << 16;

/// Reads `data` as a frame, once with the lengths in its header and once with lengths that fit.
pub fn check_frame(data: &[u8]) {
    let Some((head, rest)) = data.split_first_chunk::<HEADER_LEN>() else { return };
    // Small limits, so that the input reaches them.
    let small = Limits {
        message: 4096,
        inflated: 1 << 16,
        annotations: 4,
        annotation_bytes: 256,
        ..Limits::default()
    };
    for limits in [Limits::default(), Limits::handshake(), small] {
        let Ok(header) = Header::decode(head, &limits) else { continue };
        assert!(header.body_len() <= limits.message, "{header:?}");
        assert_eq!(Header::decode(&header.encode(), &limits).as_ref(), Ok(&header));
        let mut announced = rest.to_vec();
        announced.resize(header.body_len().min(MAX_PADDED_BODY_BYTES), 0);
        check_body(&header, &announced, &limits);
        let annotations_len = header.annotations_len.min(rest.len() as u32);
        let data_len = rest.len() as u32 - annotations_len;
        check_body(&Header { data_len, annotations_len, ..header }, rest, &limits);
    }
}

fn check_body(header: &Header, bytes: &[u8], limits: &Limits) {
    let Ok(body) = Body::parse(header, bytes, limits) else { return };
    assert_eq!(header.body_len(), bytes.len(), "a body of another length was taken");
    assert!(body.annotations.len() <= limits.annotations);
    let annotated: usize = body.annotations.iter().map(|(_, data)| 8 + data.len()).sum();
    assert!(annotated <= limits.annotation_bytes && annotated <= bytes.len());
    if header.flags.contains(Flags::COMPRESSED) {
        assert!(body.payload.len() <= limits.inflated);
    }
    let annotations: Annotations =
        body.annotations.iter().map(|(id, data)| (*id, data.to_vec())).collect();
    for compress in [false, true] {
        let mut out = b"before".to_vec();
        if write_frame(header, &annotations, &body.payload, compress, &mut out).is_err() {
            assert_eq!(out, b"before");
            continue;
        }
        let written = out.get(6..).and_then(|frame| frame.split_first_chunk::<HEADER_LEN>());
        let (head, rest) = written.unwrap_or((&[0; HEADER_LEN], &[]));
        let limits = Limits { inflated: usize::MAX, message: usize::MAX, ..limits.clone() };
        let again = Header::decode(head, &limits);
        assert!(again.is_ok(), "{again:?}");
        let Ok(again) = again else { continue };
        let reread = Body::parse(&again, rest, &limits);
        assert!(
            reread
                .as_ref()
                .is_ok_and(|reread| reread.payload == body.payload
                    && reread.annotations == body.annotations),
            "{again:?}"
        );
    }
}

fn write_frame(
    header: &Header,
    annotations: &Annotations,
    payload: &[u8],
    compress: bool,
    out: &mut Vec<u8>,
) -> Result<(), FrameError> {
    let flags = header.flags.difference(Flags::COMPRESSED);
    let mut writer =
        FrameWriter::begin(out, header.kind, header.serializer, header.seq, annotations)?;
    writer.payload().extend_from_slice(payload);
    writer.finish(flags, Some(header.correlation_id), compress, usize::MAX)
}
