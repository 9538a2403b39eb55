//! Macros `#[remote::expose]` and `#[derive(remote::IntoException)]`.
//!
//! The generated code calls `remote`, which re-exports and documents both. This crate has their
//! syntax and the compile errors for wrong uses.

mod attributes;
mod exception;
mod expose;
mod problems;

use proc_macro::TokenStream;

/// Makes the public methods of an `impl` block callable from a Pyro5 client.
///
/// The documentation is at `remote::expose`.
#[proc_macro_attribute]
pub fn expose(options: TokenStream, item: TokenStream) -> TokenStream {
    expose::expand(options.into(), item.into()).into()
}

/// Names the Python exception that an error of this type becomes.
///
/// The documentation is at `remote::IntoException`.
#[proc_macro_derive(IntoException, attributes(exception))]
pub fn into_exception(item: TokenStream) -> TokenStream {
    exception::expand(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
