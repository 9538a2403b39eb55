//! Arrays as PNG files: one axis pair as shades of grey, three values a pixel as colours.

use std::io::Write;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};

use super::array::{NumberArray, NumberType};

/// The beginning of a file.
const MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Pixels of a picture.
const MAX_PIXELS: usize = 32 * 1024 * 1024;

/// The picture of an array of two axes, or of three whose last has three or four bytes; `None` of
/// others. Greys go from the least number (black) to the greatest (white).
pub(super) fn to_png(array: &NumberArray) -> Option<Vec<u8>> {
    let (height, width, channels) = match *array.shape.as_slice() {
        [height, width] => (height, width, 1),
        [height, width, channels @ (3 | 4)] => (height, width, channels),
        _ => return None,
    };
    if height.checked_mul(width)? > MAX_PIXELS || array.kind == NumberType::Complex128 {
        return None;
    }
    let numbers = array.floats()?;
    let pixels = match channels {
        1 => greys(&numbers),
        _ if numbers.iter().all(|number| (0.0..=255.0).contains(number)) => {
            numbers.iter().map(|number| *number as u8).collect()
        }
        _ => return None,
    };
    let colour_type = match channels {
        1 => 0,
        3 => 2,
        _ => 6,
    };
    let mut header = Vec::new();
    header.extend(u32::try_from(width).ok()?.to_be_bytes());
    header.extend(u32::try_from(height).ok()?.to_be_bytes());
    // Eight bits a value; the usual compression, filters and order.
    header.extend([8, colour_type, 0, 0, 0]);
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    for row in pixels.chunks(width * channels) {
        // Each row has the number of its filter first: none.
        encoder.write_all(&[0]).ok()?;
        encoder.write_all(row).ok()?;
    }
    let mut file = MAGIC.to_vec();
    write_chunk(&mut file, *b"IHDR", &header)?;
    write_chunk(&mut file, *b"IDAT", &encoder.finish().ok()?)?;
    write_chunk(&mut file, *b"IEND", &[])?;
    Some(file)
}

/// Shades from the least number to the greatest; what is not finite is black.
fn greys(numbers: &[f64]) -> Vec<u8> {
    let finite = || numbers.iter().copied().filter(|number| number.is_finite());
    let (least, greatest) =
        (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let span = greatest - least;
    let shade = |number: &f64| match span > 0.0 && span.is_finite() {
        // A cast of nan is 0.
        true => ((number - least) / span * 255.0).round() as u8,
        false => 0,
    };
    numbers.iter().map(shade).collect()
}

/// The length, the name, the data, and a checksum of the last two.
fn write_chunk(file: &mut Vec<u8>, name: [u8; 4], data: &[u8]) -> Option<()> {
    file.extend(u32::try_from(data.len()).ok()?.to_be_bytes());
    let mut checksum = Crc::new();
    checksum.update(&name);
    checksum.update(data);
    file.extend(name);
    file.extend(data);
    file.extend(checksum.sum().to_be_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(shape: &[usize], numbers: &[f64]) -> NumberArray {
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        NumberArray { kind: NumberType::Float64, shape: shape.to_vec(), bytes }
    }

    #[test]
    fn greys_span_the_numbers() {
        assert_eq!(greys(&[1.0, 2.0, 3.0, f64::NAN]), [0, 128, 255, 0]);
        assert_eq!(greys(&[5.0, 5.0]), [0, 0]);
        assert_eq!(greys(&[f64::NEG_INFINITY, 0.0, 1.0, f64::INFINITY]), [0, 0, 255, 255]);
    }

    #[test]
    fn pictures_have_two_axes_or_colours() {
        let file = to_png(&array(&[1, 2], &[0.0, 1.0])).unwrap();
        assert!(file.starts_with(MAGIC) && file.ends_with(b"IEND\xaeB`\x82"));
        assert!(to_png(&array(&[1, 1, 3], &[0.0, 1.0, 255.0])).is_some());
        assert!(to_png(&array(&[1, 1, 3], &[0.0, 1.0, 256.0])).is_none());
        assert!(to_png(&array(&[3], &[0.0, 1.0, 2.0])).is_none());
    }
}
