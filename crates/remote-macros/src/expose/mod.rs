//! `#[expose]` on an `impl` block.
//!
//! This file checks the block as a whole. [`member`] reads one method, [`parameter`] its
//! parameters; [`generate`] writes the implementation of `remote::Expose`.

mod describe;
mod generate;
mod member;
mod parameter;

use std::collections::HashMap;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::{Error, ImplItem, ItemImpl, LitStr, Result, Token, Type};

use crate::problems::Problems;
use member::{Member, MemberKind};

/// The options of the attribute: `#[expose(name = "Multimeter")]`.
struct Options {
    /// The name of the class in Python's error texts.
    name: Option<String>,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let help = "`name = \"...\"` is all that can be said here";
        if input.is_empty() {
            return Ok(Options { name: None });
        }
        let key: syn::Ident = input.parse().map_err(|error| Error::new(error.span(), help))?;
        if key != "name" {
            return Err(Error::new_spanned(&key, help));
        }
        input.parse::<Token![=]>()?;
        let name: LitStr = input.parse()?;
        input.parse::<Option<Token![,]>>()?;
        if input.is_empty() {
            Ok(Options { name: Some(name.value()) })
        } else {
            Err(input.error(help))
        }
    }
}

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut block: ItemImpl = match syn::parse2(item.clone()) {
        Ok(block) => block,
        Err(_) => {
            let error = Error::new(
                item.into_iter().next().map_or_else(Span::call_site, |token| token.span()),
                "`#[expose]` goes on the `impl` block whose public methods are to be callable",
            );
            return error.into_compile_error();
        }
    };
    let mut problems = Problems::default();
    let options = problems.keep(syn::parse2(options)).unwrap_or(Options { name: None });
    let members = take_members(&mut block, &mut problems);
    let class = options.name.unwrap_or_else(|| class_name(&block.self_ty));
    let mut code = block.to_token_stream();
    // After an error only the block itself is emitted, so that the compiler reports no other
    // errors.
    code.extend(match problems.into_result() {
        Err(error) => error.into_compile_error(),
        Ok(()) => generate::generate_impl(&block, &class, &members),
    });
    code
}

/// Reads the members and removes our attributes from the block.
fn take_members(block: &mut ItemImpl, problems: &mut Problems) -> Vec<Member> {
    if let Some((_, path, _)) = &block.trait_ {
        problems.add(Error::new_spanned(
            path,
            "`#[expose]` goes on an `impl` block of the type itself, not of a trait: Python calls \
             methods by their names alone",
        ));
    }
    let mut members = Vec::new();
    for item in &mut block.items {
        if let ImplItem::Fn(function) = item
            && let Some(member) = problems.keep(Member::take(function))
        {
            members.extend(member);
        }
    }
    check_names(&members, problems);
    let is_empty = !members.iter().any(|member| !matches!(member.kind, MemberKind::SessionEnded));
    if is_empty && problems.is_empty() {
        problems.add(Error::new_spanned(
            &block.self_ty,
            "nothing is exposed: clients can call the `pub fn`s that take `&self`, and there are none",
        ));
    }
    members
}

/// Refuses two members of one name, and a property with a setter only.
fn check_names(members: &[Member], problems: &mut Problems) {
    let mut readable: HashMap<&str, &Member> = HashMap::new();
    let mut settable: HashMap<&str, &Member> = HashMap::new();
    for member in members.iter().filter(|member| member.cfgs.is_empty()) {
        let names = match member.kind {
            MemberKind::Method | MemberKind::Getter => &mut readable,
            MemberKind::Setter => &mut settable,
            MemberKind::SessionEnded => continue,
        };
        if names.insert(&member.name, member).is_some() {
            problems.add(Error::new_spanned(
                &member.ident,
                format!("two members would be called `{}`", member.name),
            ));
        }
    }
    for setter in members.iter().filter(|member| matches!(member.kind, MemberKind::Setter)) {
        let name = &setter.name;
        let is_property =
            |member: &Member| matches!(member.kind, MemberKind::Getter) && member.name == *name;
        if !members.iter().any(is_property) {
            problems.add(Error::new_spanned(
                &setter.ident,
                format!(
                    "`{name}` can be set but not read: a property needs a getter as well, \
                     `#[getter] pub fn {name}(&self)`"
                ),
            ));
        }
    }
}

/// The last segment of the type's path.
fn class_name(class: &Type) -> String {
    match class {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        _ => None,
    }
    .unwrap_or_else(|| quote!(#class).to_string())
}
