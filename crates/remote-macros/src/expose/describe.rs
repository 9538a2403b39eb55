//! Generator of the function `card`: the typed description of a block's members.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, ExprUnary, GenericArgument, ItemImpl, Lit, PathArguments, ReturnType};
use syn::{Type, TypeParamBound, UnOp};

use super::member::{Member, MemberKind};
use super::parameter::{Parameter, generic_argument};
use crate::attributes;

pub(super) fn card_fn(block: &ItemImpl, class: &str, members: &[Member]) -> TokenStream {
    let doc = attributes::docs(&block.attrs);
    let described = members.iter().filter_map(|member| member_statement(member, members));
    quote! {
        fn card() -> ::remote::card::Card {
            let mut card = ::remote::card::Card {
                class: #class.into(),
                doc: #doc.into(),
                ..::core::default::Default::default()
            };
            #(#described)*
            card.seal()
        }
    }
}

/// The statement that adds the member to the card.
fn member_statement(member: &Member, members: &[Member]) -> Option<TokenStream> {
    let Member { name, docs, cfgs, oneway, .. } = member;
    let is_property = member.kind == MemberKind::Getter;
    let kind = match member.kind {
        MemberKind::Getter => quote!(Property),
        MemberKind::Method if member.stream => quote!(Stream),
        MemberKind::Method => quote!(Method),
        MemberKind::Setter | MemberKind::SessionEnded => return None,
    };
    let writable = members
        .iter()
        .any(|other| other.kind == MemberKind::Setter && other.name == *name && is_property);
    let result = result_type(member);
    let parameters = match is_property {
        true => quote!(::core::option::Option::None),
        false => {
            let parameters = member.arguments().map(parameter_expr);
            quote!(::core::option::Option::Some(::std::vec![#(#parameters),*]))
        }
    };
    Some(quote! {
        #(#cfgs)*
        card.members.push(::remote::card::Member {
            name: #name.into(),
            kind: ::remote::card::MemberKind::#kind,
            doc: #docs.into(),
            value: #result.into(),
            readable: #is_property,
            writable: #writable,
            oneway: #oneway,
            parameters: #parameters,
            series: None,
        });
    })
}

fn parameter_expr(parameter: &Parameter) -> TokenStream {
    let Parameter { name, owned, default, .. } = parameter;
    let required = default.is_none();
    let default = match default.as_ref().and_then(literal) {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    };
    let kind = quote_spanned! {owned.span()=> <#owned as ::remote::FromValue>::python_type()};
    quote! {
        ::remote::card::Parameter {
            name: #name.into(),
            value: #kind.into(),
            required: #required,
            default: #default,
            ..::core::default::Default::default()
        }
    }
}

/// The type of a result, or of an item of a stream.
fn result_type(member: &Member) -> TokenStream {
    let ty = match &member.output {
        ReturnType::Default => return quote!(::remote::card::Type::None),
        ReturnType::Type(_, ty) => ty,
    };
    let ty = if member.stream { item_type(ty) } else { Some(&**ty) };
    match ty.filter(|ty| can_be_named(ty)) {
        Some(ty) => {
            quote_spanned! {ty.span()=> <#ty as ::remote::IntoResult>::python_type()}
        }
        None => quote!(::remote::card::Type::Any),
    }
}

/// The `T` of `impl Iterator<Item = T>`, or of a `Result` of one.
fn item_type(ty: &Type) -> Option<&Type> {
    let Type::ImplTrait(iterator) = generic_argument(ty, "Result").unwrap_or(ty) else {
        return None;
    };
    iterator.bounds.iter().find_map(|bound| {
        let TypeParamBound::Trait(bound) = bound else { return None };
        let PathArguments::AngleBracketed(arguments) = &bound.path.segments.last()?.arguments
        else {
            return None;
        };
        arguments.args.iter().find_map(|argument| match argument {
            GenericArgument::AssocType(item) if item.ident == "Item" => Some(&item.ty),
            _ => None,
        })
    })
}

/// Whether a type means the same outside of its method: one with `impl` or with a lifetime of the
/// method's does not.
fn can_be_named(ty: &Type) -> bool {
    let text = quote!(#ty).to_string().replace("'static", "").replace("'_", "");
    !text.contains('\'') && !text.contains("impl ")
}

/// A default as a value, if it is a literal.
fn literal(default: &Expr) -> Option<TokenStream> {
    match default {
        Expr::Lit(ExprLit { lit, .. }) => literal_value(lit, &quote!()),
        Expr::Unary(ExprUnary { op: UnOp::Neg(minus), expr, .. }) => match &**expr {
            Expr::Lit(ExprLit { lit, .. }) => literal_value(lit, &quote!(#minus)),
            _ => None,
        },
        Expr::Path(path) if path.path.is_ident("None") => Some(quote!(::remote::Value::None)),
        _ => None,
    }
}

fn literal_value(lit: &Lit, sign: &TokenStream) -> Option<TokenStream> {
    match lit {
        Lit::Int(int) => {
            // Without its suffix: the type on the card is Python's.
            let int: i64 = int.base10_parse().ok()?;
            Some(quote!(::remote::Value::Int(#sign #int)))
        }
        Lit::Float(float) => {
            let float: f64 = float.base10_parse().ok()?;
            Some(quote!(::remote::Value::Float(#sign #float)))
        }
        Lit::Bool(_) | Lit::Str(_) => Some(quote!(::remote::Value::from(#lit))),
        _ => None,
    }
}
