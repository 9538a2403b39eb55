//! Parameter of an exposed method: the source of its value and the form in which it is passed.

use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Attribute, Error, Expr, FnArg, GenericArgument, Meta, Pat, PathArguments, Result, Signature,
    Type, parse_quote,
};

use crate::attributes;
use crate::problems::Problems;

/// A parameter other than `self`.
pub(super) struct Parameter {
    /// The name, which Python may use for a keyword argument.
    pub(super) name: String,
    pub(super) source: ValueSource,
    /// The owned type that an argument is converted to: `String` for `&str`.
    pub(super) owned: Type,
    pub(super) passed: Passed,
    pub(super) default: Option<Expr>,
}

/// The source of a parameter's value.
#[derive(Clone, Copy)]
pub(super) enum ValueSource {
    /// An argument of the caller.
    Argument,
    /// The session of the caller's connection, from the daemon.
    Session,
    /// The context of the request, from the daemon.
    Context,
}

/// The form in which the owned value is passed to the method.
#[derive(Clone, Copy)]
pub(super) enum Passed {
    Value,
    Reference,
    /// `as_deref()`, for `Option<&str>` and `Option<&[T]>`.
    Dereferenced,
    /// `as_ref()`, for `Option<&T>`.
    OptionalReference,
}

impl Parameter {
    /// Reads the parameters, and removes our attributes from all of them even after an error.
    pub(super) fn take_all(signature: &mut Signature) -> Result<Vec<Parameter>> {
        let mut problems = Problems::default();
        let mut parameters = Vec::new();
        for input in &mut signature.inputs {
            let FnArg::Typed(typed) = input else { continue };
            let default = attributes::take(&mut typed.attrs, "default");
            parameters.extend(problems.keep(read_parameter(&typed.pat, &typed.ty, default)));
        }
        problems.into_result()?;
        let mut arguments =
            parameters.iter().filter(|parameter| matches!(parameter.source, ValueSource::Argument));
        arguments.by_ref().take_while(|parameter| parameter.default.is_none()).for_each(drop);
        if let Some(late) = arguments.find(|parameter| parameter.default.is_none()) {
            return Err(Error::new_spanned(
                &late.owned,
                format!(
                    "`{}` has no default, and stands behind a parameter that has one",
                    late.name
                ),
            ));
        }
        Ok(parameters)
    }
}

fn read_parameter(pattern: &Pat, ty: &Type, default: Option<Attribute>) -> Result<Parameter> {
    let name = match pattern {
        Pat::Ident(pattern) if pattern.subpat.is_none() => pattern.ident.unraw().to_string(),
        other => {
            return Err(Error::new_spanned(
                other,
                "a parameter of a remote method is one name: Python's callers may use it",
            ));
        }
    };
    let source = value_source(ty);
    let default = match (source, default) {
        (_, None) => None,
        (ValueSource::Argument, Some(attribute)) => Some(read_default(&attribute)?),
        (_, Some(attribute)) => {
            return Err(Error::new_spanned(
                &attribute,
                "the daemon gives this one, not the caller",
            ));
        }
    };
    let (owned, passed) = owned_type(ty);
    Ok(Parameter { name, source, owned, passed, default })
}

fn read_default(attribute: &Attribute) -> Result<Expr> {
    match &attribute.meta {
        Meta::Path(path) => {
            let span = path.span();
            Ok(syn::parse_quote_spanned!(span=> ::core::default::Default::default()))
        }
        Meta::List(list) => list.parse_args(),
        Meta::NameValue(pair) => Ok(pair.value.clone()),
    }
}

/// The source by the type: `&Session`, `&Arc<Session>` and `&Context` come from the daemon.
fn value_source(ty: &Type) -> ValueSource {
    let Type::Reference(reference) = ty else { return ValueSource::Argument };
    let inner = match generic_argument(&reference.elem, "Arc") {
        Some(inner) => inner,
        None => &reference.elem,
    };
    if is_type_named(inner, "Session") {
        ValueSource::Session
    } else if is_type_named(inner, "Context") {
        ValueSource::Context
    } else {
        ValueSource::Argument
    }
}

fn owned_type(ty: &Type) -> (Type, Passed) {
    if let Type::Reference(reference) = ty {
        return (owning_type(&reference.elem), Passed::Reference);
    }
    if let Some(Type::Reference(reference)) = generic_argument(ty, "Option") {
        let inner = owning_type(&reference.elem);
        let unsized_one =
            matches!(&*reference.elem, Type::Slice(_)) || is_type_named(&reference.elem, "str");
        let passed = if unsized_one { Passed::Dereferenced } else { Passed::OptionalReference };
        return (parse_quote!(::core::option::Option<#inner>), passed);
    }
    (ty.clone(), Passed::Value)
}

/// The owned type of a value that is passed as `&ty`.
fn owning_type(ty: &Type) -> Type {
    match ty {
        Type::Slice(slice) => {
            let item = &slice.elem;
            parse_quote!(::std::vec::Vec<#item>)
        }
        ty if is_type_named(ty, "str") => parse_quote!(::std::string::String),
        ty => ty.clone(),
    }
}

/// Whether the last segment of the type's path is `name`.
pub(super) fn is_type_named(ty: &Type, name: &str) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path.segments.last().is_some_and(|segment| segment.ident == name)
}

/// The `T` of a type `name<T>`.
pub(super) fn generic_argument<'a>(ty: &'a Type, name: &str) -> Option<&'a Type> {
    let Type::Path(path) = ty else { return None };
    let segment = path.path.segments.last().filter(|segment| segment.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(inner) => Some(inner),
        _ => None,
    }
}
