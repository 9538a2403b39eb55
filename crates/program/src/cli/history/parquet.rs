//! Recorded values as a Parquet file: one data page for each column of a row group, compressed with
//! gzip.
//!
//! ```text
//! file       "PAR1" · pages · metadata · 4 bytes length of the metadata · "PAR1"
//! page       header · gzip of (definition levels where values may be null · plain values)
//! levels     4 bytes length · runs, each a number (2 * length) and 1 byte, 1 for a value
//! metadata, headers    structs of Thrift's compact protocol
//! ```
//!
//! Written by hand: a library for it would be a tenth of the whole program.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use miette::{IntoDiagnostic, Report, WrapErr};
use remote::Value;

use super::answers::SeriesName;
use super::export::{Bounds, Columns};
use crate::files;

const MAGIC: &[u8; 4] = b"PAR1";
/// Rows of one group.
const GROUP_ROWS: usize = 250_000;
const CREATED_BY: &str = concat!("ferrolab version ", env!("CARGO_PKG_VERSION"));

/// Codes of the format.
const GZIP: i64 = 2;
const PLAIN: i64 = 0;
const RLE: i64 = 3;
const UTF8: i64 = 0;
const TIMESTAMP_MICROS: i64 = 10;

/// Physical type of a column.
#[derive(Clone, Copy, PartialEq)]
enum Physical {
    Long = 2,
    Double = 5,
    Bytes = 6,
}

/// A column with its values; `None` is null.
struct Column<'a> {
    name: &'a str,
    physical: Physical,
    may_be_null: bool,
    values: Vec<Option<Cell<'a>>>,
}

#[derive(Clone)]
enum Cell<'a> {
    Long(i64),
    Double(f64),
    Bytes(std::borrow::Cow<'a, str>),
}

/// Writes a file.
///
/// # Errors
/// It cannot be written.
pub(super) fn write(file: &Path, name: &SeriesName, columns: &Columns) -> Result<(), Report> {
    files::replace(file, &encode(name, columns))
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot write {}", file.display()))
}

fn encode(name: &SeriesName, columns: &Columns) -> Vec<u8> {
    let table = table(columns);
    let rows = columns.times.len();
    let mut file = MAGIC.to_vec();
    let mut groups = Vec::new();
    for start in (0..rows).step_by(GROUP_ROWS) {
        let end = rows.min(start + GROUP_ROWS);
        let chunks: Vec<Struct> = table
            .iter()
            .map(|column| put_chunk(&mut file, column, &column.values[start..end]))
            .collect();
        let bytes = file.len() as i64;
        groups.push(Struct::new().structs(1, &chunks).long(2, bytes).long(3, (end - start) as i64));
    }
    let facts = [
        ("service", name.service.as_str()),
        ("member", name.member.as_str()),
        ("unit", columns.unit.as_str()),
    ];
    let facts = facts.map(|(key, value)| Struct::new().text(1, key).text(2, value));
    let mut schema = vec![Struct::new().text(4, "schema").int(5, table.len() as i64)];
    schema.extend(table.iter().map(Column::schema));
    let metadata = Struct::new()
        .int(1, 1)
        .structs(2, &schema)
        .long(3, rows as i64)
        .structs(4, &groups)
        .structs(5, &facts)
        .text(6, CREATED_BY)
        .end();
    file.extend_from_slice(&metadata);
    file.extend_from_slice(&u32::try_from(metadata.len()).unwrap_or(u32::MAX).to_le_bytes());
    file.extend_from_slice(MAGIC);
    file
}

fn table(columns: &Columns) -> Vec<Column<'_>> {
    let times = columns.times.iter().map(|time| Some(Cell::Long((time * 1e6).round() as i64)));
    let is_text = columns.values.iter().any(|value| value.as_str().is_some());
    let cell = |value: &Value| match value {
        Value::None => None,
        value if is_text => Some(Cell::Bytes(match value.as_str() {
            Some(text) => text.to_owned().into(),
            None => value.to_string().into(),
        })),
        Value::Bool(flag) => Some(Cell::Double(f64::from(u8::from(*flag)))),
        value => value.as_f64().map(Cell::Double),
    };
    let qualities = columns.qualities.iter().map(|word| Some(Cell::Bytes(word.as_str().into())));
    let column =
        |name, physical, may_be_null, values| Column { name, physical, may_be_null, values };
    let value_type = if is_text { Physical::Bytes } else { Physical::Double };
    let mut table = vec![
        column("time", Physical::Long, false, times.collect()),
        column("value", value_type, true, columns.values.iter().map(cell).collect()),
        column("quality", Physical::Bytes, false, qualities.collect()),
    ];
    if let Some(Bounds { minima, maxima }) = &columns.bounds {
        let doubles = |numbers: &[Option<f64>]| {
            numbers.iter().map(|number| number.map(Cell::Double)).collect::<Vec<_>>()
        };
        table.push(column("min", Physical::Double, true, doubles(minima)));
        table.push(column("max", Physical::Double, true, doubles(maxima)));
    }
    table
}

impl Column<'_> {
    fn schema(&self) -> Struct {
        let element = Struct::new()
            .int(1, self.physical as i64)
            .int(3, i64::from(self.may_be_null))
            .text(4, self.name);
        match self.physical {
            Physical::Long => {
                let unit = Struct::new().inner(2, Struct::new());
                let timestamp = Struct::new().flag(1, true).inner(2, unit);
                element.int(6, TIMESTAMP_MICROS).inner(10, Struct::new().inner(8, timestamp))
            }
            Physical::Bytes => {
                element.int(6, UTF8).inner(10, Struct::new().inner(1, Struct::new()))
            }
            Physical::Double => element,
        }
    }
}

/// Appends the page of a column; its entry in the metadata.
fn put_chunk(file: &mut Vec<u8>, column: &Column<'_>, cells: &[Option<Cell<'_>>]) -> Struct {
    let mut page = Vec::new();
    if column.may_be_null {
        let levels = levels(cells);
        page.extend_from_slice(&(levels.len() as u32).to_le_bytes());
        page.extend_from_slice(&levels);
    }
    for cell in cells.iter().flatten() {
        match cell {
            Cell::Long(number) => page.extend_from_slice(&number.to_le_bytes()),
            Cell::Double(number) => page.extend_from_slice(&number.to_le_bytes()),
            Cell::Bytes(text) => {
                page.extend_from_slice(&(text.len() as u32).to_le_bytes());
                page.extend_from_slice(text.as_bytes());
            }
        }
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing into memory cannot fail.
    let _ = encoder.write_all(&page);
    let compressed = encoder.finish().unwrap_or_default();
    let count = cells.len() as i64;
    let data = Struct::new().int(1, count).int(2, PLAIN).int(3, RLE).int(4, RLE);
    let header = Struct::new()
        .int(1, 0)
        .int(2, page.len() as i64)
        .int(3, compressed.len() as i64)
        .inner(5, data)
        .end();
    let offset = file.len() as i64;
    file.extend_from_slice(&header);
    file.extend_from_slice(&compressed);
    let metadata = Struct::new()
        .int(1, column.physical as i64)
        .ints(2, &[PLAIN, RLE])
        .texts(3, &[column.name])
        .int(4, GZIP)
        .long(5, count)
        .long(6, (header.len() + page.len()) as i64)
        .long(7, (header.len() + compressed.len()) as i64)
        .long(9, offset);
    Struct::new().long(2, offset).inner(3, metadata)
}

/// Definition levels: runs of values that are there or null.
fn levels(cells: &[Option<Cell<'_>>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for run in cells.chunk_by(|a, b| a.is_some() == b.is_some()) {
        put_number(&mut bytes, (run.len() as u64) << 1);
        bytes.push(u8::from(run.first().is_some_and(Option::is_some)));
    }
    bytes
}

/// A struct of Thrift's compact protocol, to be filled in the order of its fields.
struct Struct {
    bytes: Vec<u8>,
    last: u8,
}

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const INT: u8 = 5;
const LONG: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

impl Struct {
    fn new() -> Self {
        Struct { bytes: Vec::new(), last: 0 }
    }

    fn field(mut self, id: u8, kind: u8) -> Self {
        // No struct here leaves out fifteen fields in a row.
        self.bytes.push((id - self.last) << 4 | kind);
        self.last = id;
        self
    }

    fn int(self, id: u8, number: i64) -> Self {
        self.number(id, INT, number)
    }

    fn long(self, id: u8, number: i64) -> Self {
        self.number(id, LONG, number)
    }

    fn number(self, id: u8, kind: u8, number: i64) -> Self {
        let mut filled = self.field(id, kind);
        put_number(&mut filled.bytes, zigzag(number));
        filled
    }

    fn flag(self, id: u8, flag: bool) -> Self {
        self.field(id, if flag { TRUE } else { FALSE })
    }

    fn text(self, id: u8, text: &str) -> Self {
        let mut filled = self.field(id, BINARY);
        put_text(&mut filled.bytes, text);
        filled
    }

    fn inner(self, id: u8, inner: Struct) -> Self {
        let mut filled = self.field(id, STRUCT);
        filled.bytes.extend(inner.end());
        filled
    }

    fn list(self, id: u8, kind: u8, count: usize) -> Self {
        let mut filled = self.field(id, LIST);
        match u8::try_from(count) {
            Ok(count @ 0..15) => filled.bytes.push(count << 4 | kind),
            _ => {
                filled.bytes.push(0xf0 | kind);
                put_number(&mut filled.bytes, count as u64);
            }
        }
        filled
    }

    fn structs(self, id: u8, structs: &[Struct]) -> Self {
        let mut filled = self.list(id, STRUCT, structs.len());
        for inner in structs {
            filled.bytes.extend_from_slice(&inner.bytes);
            filled.bytes.push(0);
        }
        filled
    }

    fn ints(self, id: u8, numbers: &[i64]) -> Self {
        let mut filled = self.list(id, INT, numbers.len());
        numbers.iter().for_each(|number| put_number(&mut filled.bytes, zigzag(*number)));
        filled
    }

    fn texts(self, id: u8, texts: &[&str]) -> Self {
        let mut filled = self.list(id, BINARY, texts.len());
        texts.iter().for_each(|text| put_text(&mut filled.bytes, text));
        filled
    }

    fn end(self) -> Vec<u8> {
        let mut bytes = self.bytes;
        bytes.push(0);
        bytes
    }
}

fn zigzag(number: i64) -> u64 {
    (number.wrapping_shl(1) ^ (number >> 63)).cast_unsigned()
}

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_number(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(values: Vec<Value>, bounds: bool) -> Columns {
        let numbers = || vec![Some(0.5), None, Some(-1.0)];
        Columns {
            unit: "K".to_owned(),
            times: vec![1_764_000_000.25, 1_764_000_001.0, 1_764_000_002.0],
            values,
            qualities: ["good", "no data", "good"].map(str::to_owned).to_vec(),
            bounds: bounds.then(|| Bounds { minima: numbers(), maxima: numbers() }),
        }
    }

    #[test]
    fn a_file_is_framed_by_its_mark_and_has_its_metadata() {
        let name = SeriesName { service: "lab.oven".to_owned(), member: "t".to_owned() };
        let numbers = columns(vec![Value::Float(20.5), Value::None, Value::from(3)], true);
        let texts = columns(vec![Value::from("on"), Value::None, Value::from("off")], false);
        for columns in [numbers, texts] {
            let file = encode(&name, &columns);
            let end = &file[file.len() - 8..];
            assert_eq!((&file[..4], &end[4..]), (&MAGIC[..], &MAGIC[..]));
            let length = u32::from_le_bytes(end[..4].try_into().unwrap()) as usize;
            let metadata = &file[file.len() - 8 - length..file.len() - 8];
            for text in ["time", "value", "quality", "lab.oven", CREATED_BY] {
                let found = metadata.windows(text.len()).any(|part| part == text.as_bytes());
                assert!(found, "{text}");
            }
        }
    }

    #[test]
    fn runs_of_values_and_nulls() {
        let cells = [Some(Cell::Long(1)), Some(Cell::Long(2)), None];
        assert_eq!(levels(&cells), [4, 1, 2, 0]);
        assert_eq!(levels(&[]), [0_u8; 0]);
        let inner = Struct::new().int(1, -1).text(4, "ab").flag(5, true).ints(6, &[0, 3]);
        let expected = [0x15, 1, 0x38, 2, b'a', b'b', 0x11, 0x19, 0x25, 0, 6, 0];
        assert_eq!(inner.end(), expected);
    }
}
