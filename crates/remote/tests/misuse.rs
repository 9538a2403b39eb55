//! The compiler's messages for misuse of the macros.
//!
//! Only errors of ours are compared: rustc words its own anew with every version. That types
//! without a form in Python are refused is shown by the documentation of [`remote::expose`].

#[test]
fn misuse_is_told_where_it_is() {
    trybuild::TestCases::new().compile_fail("tests/misuse/*.rs");
}
