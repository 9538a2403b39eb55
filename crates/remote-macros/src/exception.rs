//! `#[derive(IntoException)]`: the Python exception class of each variant of an error type.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Error, Fields, Ident, LitStr, Result, Variant};

use crate::attributes;
use crate::problems::Problems;

/// Class of an error without an `#[exception]` attribute.
const DEFAULT_CLASS: &str = "builtins.RuntimeError";

/// Python's built-in exceptions, which may be written without their module.
const BUILTINS: &[&str] = &[
    "ArithmeticError",
    "AssertionError",
    "AttributeError",
    "BlockingIOError",
    "BrokenPipeError",
    "BufferError",
    "ChildProcessError",
    "ConnectionAbortedError",
    "ConnectionError",
    "ConnectionRefusedError",
    "ConnectionResetError",
    "EOFError",
    "Exception",
    "FileExistsError",
    "FileNotFoundError",
    "FloatingPointError",
    "IOError",
    "ImportError",
    "IndexError",
    "InterruptedError",
    "IsADirectoryError",
    "KeyError",
    "LookupError",
    "MemoryError",
    "ModuleNotFoundError",
    "NameError",
    "NotADirectoryError",
    "NotImplementedError",
    "OSError",
    "OverflowError",
    "PermissionError",
    "ProcessLookupError",
    "RecursionError",
    "ReferenceError",
    "RuntimeError",
    "StopIteration",
    "SyntaxError",
    "SystemError",
    "TimeoutError",
    "TypeError",
    "UnicodeError",
    "ValueError",
    "Warning",
    "ZeroDivisionError",
];

/// An `#[exception]` attribute.
#[expect(clippy::large_enum_variant, reason = "there are a handful, for a moment")]
enum ExceptionSource {
    /// A class: `#[exception("ValueError")]`.
    Class(String),
    /// The exception of the error inside: `#[exception(transparent)]`.
    Inner(Attribute),
}

pub(crate) fn expand(item: TokenStream) -> Result<TokenStream> {
    let input: DeriveInput = syn::parse2(item)?;
    let whole = read_attribute(&input.attrs)?;
    let (name, (generics, types, bounds)) = (&input.ident, input.generics.split_for_impl());
    let body = match &input.data {
        Data::Struct(data) => {
            let inner = quote!(Self);
            match_arm(&inner, &data.fields, whole.as_ref())?
        }
        Data::Enum(data) => {
            let mut problems = Problems::default();
            let arms = data.variants.iter().map(|variant| variant_arm(variant, whole.as_ref()));
            let arms = arms.filter_map(|arm| problems.keep(arm)).collect();
            problems.into_result()?;
            arms
        }
        Data::Union(data) => {
            return Err(Error::new(data.union_token.span, "a union is no error"));
        }
    };
    let body = match &input.data {
        Data::Enum(data) if data.variants.is_empty() => quote!(match self {}),
        _ => quote!(match self { #body }),
    };
    Ok(quote! {
        #[automatically_derived]
        impl #generics ::remote::IntoException for #name #types #bounds {
            fn into_exception(self) -> ::remote::Exception {
                #body
            }
        }
    })
}

fn variant_arm(variant: &Variant, whole: Option<&ExceptionSource>) -> Result<TokenStream> {
    let ident = &variant.ident;
    let own = read_attribute(&variant.attrs)?;
    let cfgs = attributes::cfgs(&variant.attrs);
    let arm = match_arm(&quote!(Self::#ident), &variant.fields, own.as_ref().or(whole))?;
    Ok(quote!(#(#cfgs)* #arm))
}

fn match_arm(
    path: &TokenStream,
    fields: &Fields,
    source: Option<&ExceptionSource>,
) -> Result<TokenStream> {
    match source {
        Some(ExceptionSource::Inner(attribute)) => {
            let (Some(field), 1) = (fields.iter().next(), fields.len()) else {
                return Err(Error::new_spanned(
                    attribute,
                    "`transparent` is for an error that holds another and nothing else",
                ));
            };
            let member = match &field.ident {
                Some(ident) => quote!(#ident),
                None => quote!(0),
            };
            Ok(quote_spanned! {field.ty.span()=>
                #path { #member: inner } => ::remote::IntoException::into_exception(inner),
            })
        }
        class => {
            let class = match class {
                Some(ExceptionSource::Class(class)) => class.as_str(),
                _ => DEFAULT_CLASS,
            };
            Ok(quote! {
                #path { .. } => ::remote::Exception::new(#class, ::std::string::ToString::to_string(&self)),
            })
        }
    }
}

fn read_attribute(attributes: &[Attribute]) -> Result<Option<ExceptionSource>> {
    let mut found = attributes.iter().filter(|attribute| attribute.path().is_ident("exception"));
    let Some(attribute) = found.next() else { return Ok(None) };
    if let Some(second) = found.next() {
        return Err(Error::new_spanned(second, "one exception for one error"));
    }
    let help = "the class in quotes is expected, as in `#[exception(\"ValueError\")]`, \
                or `#[exception(transparent)]`";
    let list = attribute.meta.require_list().map_err(|error| Error::new(error.span(), help))?;
    if let Ok(word) = Ident::parse_any.parse2(list.tokens.clone())
        && word == "transparent"
    {
        return Ok(Some(ExceptionSource::Inner(attribute.clone())));
    }
    let class: LitStr =
        syn::parse2(list.tokens.clone()).map_err(|error| Error::new(error.span(), help))?;
    let name = class.value();
    if BUILTINS.contains(&name.as_str()) {
        return Ok(Some(ExceptionSource::Class(format!("builtins.{name}"))));
    }
    let words: Vec<&str> = name.split('.').collect();
    let is_name = |word: &&str| {
        !word.is_empty()
            && !word.starts_with(|c: char| c.is_ascii_digit())
            && word.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    if words.len() < 2 || !words.iter().all(is_name) {
        return Err(Error::new_spanned(
            &class,
            format!(
                "`{name}` is none of Python's own exceptions; write another one with its module, \
                 as in \"instruments.errors.RangeError\""
            ),
        ));
    }
    Ok(Some(ExceptionSource::Class(name)))
}
