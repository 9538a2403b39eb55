use super::*;
use crate::serializer::Serializer;
use crate::value::Value;

fn dtype(value: impl Into<Value>) -> Result<DType, &'static str> {
    DType::from_value(value.into())
}

fn list(items: impl IntoIterator<Item = Value>) -> Value {
    Value::List(items.into_iter().collect())
}

fn array(text: &str, shape: &[usize], data: &[u8]) -> Array {
    Array::new(DType::of_text(text).unwrap(), shape.to_vec(), ArrayOrder::C, data.to_vec()).unwrap()
}

#[test]
fn only_types_of_plain_bytes_are_known() {
    let known = [
        ("|b1", 1),
        ("|i1", 1),
        ("|u1", 1),
        ("<i8", 8),
        (">u2", 2),
        ("<f2", 2),
        ("<f16", 16),
        ("<c8", 8),
        ("|S5", 5),
        ("|S0", 0),
        ("<U3", 12),
        ("|V7", 7),
        ("<M8[ns]", 8),
        ("<m8", 8),
        (">M8[25us]", 8),
    ];
    for (text, bytes) in known {
        assert_eq!(DType::of_text(text).map(|it| it.item_bytes()), Ok(bytes), "{text}");
    }
    let unknown = [
        "",
        "O",
        "|O",
        "|O8",
        "<O8",
        "object",
        "f8",
        "=f8",
        "<f",
        "<f3",
        "<f+8",
        "<i16",
        ">i1",
        "|f8",
        "<S5",
        "<T16",
        "<f8[ns]",
        "<M8[x]",
        "<M8[9999999999s]",
        "<M8[ns",
        "f8,f8",
        "<U9999999999",
        "|S2147483648",
        "<U536870912",
        "(2,)f8",
        "<é8",
        "|V8\0",
    ];
    for text in unknown {
        assert!(DType::of_text(text).is_err(), "{text}");
    }
}

#[test]
fn a_structured_type_keeps_its_fields_and_gaps() {
    let described = Value::Tuple(vec![
        list(["t".into(), "xy".into()]),
        list(["<i2".into(), Value::Tuple(vec!["<f4".into(), Value::Tuple(vec![2.into()])])]),
        list([0.into(), 4.into()]),
        16.into(),
    ]);
    let it = dtype(described.clone()).unwrap();
    assert_eq!((it.item_bytes(), it.mask_bytes(), it.to_value()), (16, 3, described));
    let bytes =
        [&7i16.to_le_bytes()[..], &[0; 2], &1.5f32.to_le_bytes(), &2f32.to_le_bytes(), &[0; 4]];
    let made = Array::new(it, vec![], ArrayOrder::C, bytes.concat()).unwrap();
    let pair = list([1.5.into(), 2.0.into()]);
    assert_eq!(made.to_list(), Ok(Value::Tuple(vec![7.into(), pair])));
}

#[test]
fn a_malformed_type_is_refused() {
    let fields = |names: Value, types: Value, offsets: Value, size: Value| {
        Value::Tuple(vec![names, types, offsets, size])
    };
    let (name, object, float) =
        (|| list(["a".into()]), list(["|O8".into()]), || list(["<f8".into()]));
    let nested = (0..100).fold(Value::from("<f8"), |inner, _| {
        Value::Tuple(vec![inner, Value::Tuple(vec![1.into()])])
    });
    let cases = [
        fields(name(), object, list([0.into()]), 8.into()),
        fields(name(), float(), list([1.into()]), 8.into()),
        fields(name(), float(), list([(-1).into()]), 8.into()),
        fields(name(), float(), list([i64::MAX.into()]), 8.into()),
        fields(name(), float(), list([]), 8.into()),
        fields(list([5.into()]), float(), list([0.into()]), 8.into()),
        fields(name(), float(), list([0.into()]), i64::MAX.into()),
        Value::Tuple(vec!["<f8".into(), Value::Tuple(vec![i64::MAX.into(), 2.into()])]),
        Value::Tuple(vec!["<f8".into(), Value::Tuple(vec![(1i64 << 40).into()])]),
        Value::Tuple(vec![]),
        Value::Int(8),
        Value::None,
        nested,
    ];
    for case in cases {
        assert!(dtype(case.clone()).is_err(), "{case}");
    }
}

#[test]
fn a_shape_must_fit_the_bytes() {
    let float = || DType::of_text("<f8").unwrap();
    let empty = || DType::of_text("|S0").unwrap();
    assert!(Array::new(float(), vec![2, 3], ArrayOrder::C, vec![0; 48]).is_ok());
    assert!(Array::new(float(), vec![0, 3], ArrayOrder::C, vec![]).is_ok());
    assert!(Array::new(empty(), vec![1000], ArrayOrder::C, vec![]).is_ok());
    let cases = [
        (float(), vec![2, 3], 47),
        (float(), vec![], 0),
        (float(), vec![usize::MAX, 2], 0),
        (float(), vec![0, 1 << 61], 0),
        (float(), vec![1 << 62, 1 << 62], 0),
        (float(), vec![1; 65], 8),
    ];
    for (dtype, shape, bytes) in cases {
        assert!(
            Array::new(dtype, shape.clone(), ArrayOrder::C, vec![0; bytes]).is_err(),
            "{shape:?}"
        );
    }
    let rows = Array::new(float(), vec![0, 2048, 2048], ArrayOrder::C, vec![]).unwrap();
    assert_eq!(rows.to_list(), Ok(list([])));
    for (dtype, shape) in [(empty(), vec![1 << 40]), (float(), vec![1 << 40, 0])] {
        assert!(Array::new(dtype, shape, ArrayOrder::C, vec![]).unwrap().to_list().is_err());
    }
    let flat = array("|u1", &[&[1 << 20][..], &[1; 63]].concat(), &vec![0; 1 << 20]);
    assert!(flat.to_list().is_err());
}

#[test]
fn elements_become_plain_data() {
    let half = |number: u16| number.to_le_bytes();
    let cases = [
        (array("|b1", &[2], &[0, 1]), list([false.into(), true.into()])),
        (array(">i2", &[2], &[0xff, 0xfe, 0, 5]), list([(-2).into(), 5.into()])),
        (array("<u8", &[], &[0xff; 8]), u64::MAX.into()),
        (array("<f4", &[], &0.5f32.to_le_bytes()), 0.5.into()),
        (
            array("<f2", &[3], &[half(0x3c00), half(0xc000), half(1)].concat()),
            list([1.0.into(), (-2.0).into(), 2f64.powi(-24).into()]),
        ),
        (array(">c8", &[], &[0x3f, 0x80, 0, 0, 0, 0, 0, 0]), Value::Complex { re: 1.0, im: 0.0 }),
        (array("|S3", &[2], b"ab\0\0\0\0"), list([Value::bytes(*b"ab"), Value::bytes(*b"")])),
        (array("<U2", &[], &[0xe9, 0, 0, 0, 0, 0, 0, 0]), "é".into()),
        (array("|u1", &[2, 0], &[]), list([list([]), list([])])),
    ];
    for (array, expected) in cases {
        assert_eq!(array.to_list(), Ok(expected), "{array}");
    }
    assert!(array("<M8[s]", &[1], &[0; 8]).to_list().is_err());
}

#[test]
fn numbers_of_rust_come_back_in_c_order() {
    let made = Array::from_values(&[2, 2], &[1u16, 2, 3, 4]).unwrap();
    assert_eq!(made.values::<u16>(), Some(vec![1, 2, 3, 4]));
    assert_eq!(made.values::<i16>(), None);
    let transposed =
        Array::new(made.dtype().clone(), vec![2, 2], ArrayOrder::Fortran, made.data().to_vec())
            .unwrap();
    assert_eq!(transposed.values::<u16>(), Some(vec![1, 3, 2, 4]));
    let rows = list([list([1.into(), 3.into()]), list([2.into(), 4.into()])]);
    assert_eq!(transposed.to_list(), Ok(rows));
    assert!(Array::from_values(&[3], &[1u16, 2]).is_err());
    assert_eq!(array(">f8", &[1], &1.5f64.to_be_bytes()).values::<f64>(), Some(vec![1.5]));
}

#[test]
fn who_knows_no_arrays_gets_lists() {
    let value = Value::from(Array::from_values(&[2], &[1.5f64, 2.5]).unwrap());
    let plain = list([1.5.into(), 2.5.into()]);
    for serializer in Serializer::ALL {
        let (mut array, mut same) = (Vec::new(), Vec::new());
        serializer.encode(&value, &mut array).unwrap();
        serializer.encode(&plain, &mut same).unwrap();
        assert_eq!(array, same, "{serializer:?}");
    }
    assert_eq!(value.to_string(), "<array of 2 elements of <f8>");
}
