//! Member of an exposed block: a method, getter or setter for clients, and its compile errors.

use syn::{
    Attribute, Error, FnArg, GenericParam, Ident, ImplItemFn, Meta, Receiver, Result, ReturnType,
    Type, TypeImplTrait, TypeParamBound, Visibility,
};

use super::parameter::{Parameter, ValueSource, generic_argument, is_type_named};
use crate::attributes;

/// A method of the block that is exposed or that the daemon calls.
pub(super) struct Member {
    pub(super) kind: MemberKind,
    /// The name for clients.
    pub(super) name: String,
    pub(super) ident: Ident,
    pub(super) receiver: SelfType,
    pub(super) parameters: Vec<Parameter>,
    pub(super) output: ReturnType,
    pub(super) execution: Execution,
    pub(super) oneway: bool,
    pub(super) stream: bool,
    pub(super) docs: String,
    pub(super) cfgs: Vec<Attribute>,
}

/// The purpose of a member.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum MemberKind {
    Method,
    Getter,
    Setter,
    /// Not exposed: the daemon calls it when a session ends.
    SessionEnded,
}

/// The way in which a member runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Execution {
    /// On the connection's task, without waiting.
    Immediate,
    /// As a future.
    Async,
    /// On a thread that may block.
    Blocking,
}

/// The type of `self`: `&self`, `self: Arc<Self>` or `self: &Arc<Self>`.
#[derive(Clone, Copy)]
pub(super) enum SelfType {
    Ref,
    Arc,
    RefArc,
}

/// Our attributes on a method.
struct Marks {
    skip: Option<Attribute>,
    getter: Option<Attribute>,
    setter: Option<Attribute>,
    session_ended: Option<Attribute>,
    oneway: Option<Attribute>,
    blocking: Option<Attribute>,
    stream: Option<Attribute>,
}

impl Marks {
    fn take(attributes: &mut Vec<Attribute>) -> Self {
        let mut take = |name| attributes::take(attributes, name);
        Marks {
            skip: take("skip"),
            getter: take("getter").or_else(|| take("property")),
            setter: take("setter"),
            session_ended: take("session_ended"),
            oneway: take("oneway"),
            blocking: take("blocking"),
            stream: take("stream"),
        }
    }

    /// Any of them, for an error about a wrong place.
    fn any(&self) -> Option<&Attribute> {
        let marks = [
            &self.getter,
            &self.setter,
            &self.session_ended,
            &self.oneway,
            &self.blocking,
            &self.stream,
        ];
        marks.into_iter().flatten().next()
    }
}

impl Member {
    /// Reads a method and removes our attributes from it. `None` if it is no member.
    pub(super) fn take(function: &mut ImplItemFn) -> Result<Option<Member>> {
        let marks = Marks::take(&mut function.attrs);
        let parameters = Parameter::take_all(&mut function.sig);
        if marks.skip.is_some() {
            return Ok(None);
        }
        let is_public = matches!(function.vis, Visibility::Public(_));
        let Some(receiver) = function.sig.receiver() else {
            return refuse_mark(marks.any(), "this needs a method that takes `&self`");
        };
        if !is_public && marks.session_ended.is_none() {
            return refuse_mark(marks.any(), "clients see `pub` methods only: make this one `pub`");
        }
        let receiver = self_type(receiver)?;
        check_callable(function)?;
        let kind = member_kind(&marks)?;
        let ident = function.sig.ident.clone();
        let name = client_name(kind, &ident, &marks)?;
        let execution = match (&function.sig.asyncness, &marks.blocking) {
            (Some(_), Some(blocking)) => {
                let text = "an `async` method must not block: take `async` or `#[blocking]` away";
                return Err(Error::new_spanned(blocking, text));
            }
            (Some(_), None) => Execution::Async,
            (None, Some(_)) => Execution::Blocking,
            (None, None) => Execution::Immediate,
        };
        let member = Member {
            kind,
            name,
            ident,
            receiver,
            parameters: parameters?,
            output: function.sig.output.clone(),
            execution,
            oneway: marks.oneway.is_some(),
            stream: marks.stream.is_some(),
            docs: attributes::docs(&function.attrs),
            cfgs: attributes::cfgs(&function.attrs),
        };
        member.check_marks(&marks, &function.sig)?;
        // The generated code makes the method reachable, which the lint cannot see.
        function.attrs.push(syn::parse_quote!(#[allow(unreachable_pub)]));
        Ok(Some(member))
    }

    /// The parameters whose values are arguments of the caller.
    pub(super) fn arguments(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters.iter().filter(|parameter| matches!(parameter.source, ValueSource::Argument))
    }

    fn check_marks(&self, marks: &Marks, signature: &syn::Signature) -> Result<()> {
        let given = self.arguments().count();
        match self.kind {
            MemberKind::Method => {
                if let (Some(_), Some(stream)) = (&marks.oneway, &marks.stream) {
                    return Err(Error::new_spanned(
                        stream,
                        "a oneway method has no answer to stream",
                    ));
                }
                if let (Some(stream), ReturnType::Default) = (&marks.stream, &self.output) {
                    return Err(Error::new_spanned(
                        stream,
                        "a stream's method returns an iterator",
                    ));
                }
                if self.stream
                    && let Some(borrowing) = borrowing_iterator(&self.output)
                {
                    return Err(Error::new_spanned(
                        borrowing,
                        "the iterator is read when the method has long returned, and must not \
                         borrow from `self`: write `impl Iterator<Item = ...> + use<>`",
                    ));
                }
                return Ok(());
            }
            MemberKind::Getter if given > 0 => {
                return Err(Error::new_spanned(&signature.inputs, "a getter has no parameters"));
            }
            MemberKind::Setter if given != 1 => {
                return Err(Error::new_spanned(
                    &signature.inputs,
                    "a setter has one parameter, the value",
                ));
            }
            MemberKind::SessionEnded if given > 0 || self.execution != Execution::Immediate => {
                return Err(Error::new_spanned(
                    signature,
                    "what is to be done at a session's end is a plain `fn(&self, &Session)`",
                ));
            }
            _ => {}
        }
        if let Some(mark) = marks.oneway.as_ref().or(marks.stream.as_ref()) {
            return Err(Error::new_spanned(mark, "this is for methods, not for properties"));
        }
        if let Some(default) = self.parameters.iter().find_map(|one| one.default.as_ref()) {
            return Err(Error::new_spanned(default, "the value of a property has no default"));
        }
        Ok(())
    }
}

/// The `impl Iterator` of a stream, unless it has `use<>` or `'static`, and so borrows nothing.
fn borrowing_iterator(output: &ReturnType) -> Option<&TypeImplTrait> {
    let ReturnType::Type(_, ty) = output else { return None };
    let Type::ImplTrait(iterator) = generic_argument(ty, "Result").unwrap_or(ty) else {
        return None;
    };
    let says_so = iterator.bounds.iter().any(|bound| match bound {
        TypeParamBound::PreciseCapture(_) => true,
        TypeParamBound::Lifetime(lifetime) => lifetime.ident == "static",
        _ => false,
    });
    (!says_so).then_some(iterator)
}

fn refuse_mark(mark: Option<&Attribute>, text: &str) -> Result<Option<Member>> {
    mark.map_or(Ok(None), |mark| Err(Error::new_spanned(mark, text)))
}

/// The type of `self`, or the error of one that remote calls cannot have.
fn self_type(receiver: &Receiver) -> Result<SelfType> {
    let shared = "many connections share a remote object";
    if receiver.reference.is_some() {
        return match receiver.mutability {
            None => Ok(SelfType::Ref),
            Some(_) => Err(Error::new_spanned(
                receiver,
                format!(
                    "{shared}: take `&self` and keep what changes in a `Mutex`, or mark the method \
                     `#[skip]`"
                ),
            )),
        };
    }
    match &*receiver.ty {
        class if is_type_named(class, "Arc") => Ok(SelfType::Arc),
        Type::Reference(reference) if is_type_named(&reference.elem, "Arc") => Ok(SelfType::RefArc),
        _ => Err(Error::new_spanned(
            receiver,
            format!(
                "{shared}, and a call must leave it there: take `&self`, or mark the method \
                     `#[skip]`"
            ),
        )),
    }
}

/// Refuses a signature that Python cannot call.
fn check_callable(function: &ImplItemFn) -> Result<()> {
    let signature = &function.sig;
    for parameter in &signature.generics.params {
        if !matches!(parameter, GenericParam::Lifetime(_)) {
            return Err(Error::new_spanned(
                parameter,
                "a remote method cannot be generic: Python's callers name no types",
            ));
        }
    }
    if let Some(unsafety) = &signature.unsafety {
        return Err(Error::new_spanned(unsafety, "a remote method cannot be `unsafe`"));
    }
    if let Some(variadic) = &signature.variadic {
        return Err(Error::new_spanned(variadic, "take a `Vec` instead"));
    }
    for input in &signature.inputs {
        if let FnArg::Typed(typed) = input {
            match &*typed.ty {
                Type::ImplTrait(ty) => {
                    return Err(Error::new_spanned(
                        ty,
                        "a remote method cannot be generic: name the type of the argument",
                    ));
                }
                Type::Reference(ty) if ty.mutability.is_some() => {
                    return Err(Error::new_spanned(
                        ty,
                        "arguments arrive by value: nothing that is changed here goes back",
                    ));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn member_kind(marks: &Marks) -> Result<MemberKind> {
    let kinds = [
        (&marks.getter, MemberKind::Getter),
        (&marks.setter, MemberKind::Setter),
        (&marks.session_ended, MemberKind::SessionEnded),
    ];
    let mut found = kinds.into_iter().filter_map(|(mark, kind)| Some((mark.as_ref()?, kind)));
    let first = found.next();
    if let Some((mark, _)) = found.next() {
        return Err(Error::new_spanned(mark, "one method, one purpose"));
    }
    Ok(first.map_or(MemberKind::Method, |(_, kind)| kind))
}

fn client_name(kind: MemberKind, ident: &Ident, marks: &Marks) -> Result<String> {
    let plain = ident.to_string();
    let plain = plain.strip_prefix("r#").unwrap_or(&plain).to_owned();
    let given = |mark: &Option<Attribute>| -> Result<Option<String>> {
        match mark.as_ref().map(|mark| &mark.meta) {
            Some(Meta::List(list)) => Ok(Some(list.parse_args::<Ident>()?.to_string())),
            _ => Ok(None),
        }
    };
    let name = match kind {
        MemberKind::Method | MemberKind::SessionEnded => plain,
        MemberKind::Getter => given(&marks.getter)?.unwrap_or(plain),
        MemberKind::Setter => match (given(&marks.setter)?, plain.strip_prefix("set_")) {
            (Some(name), _) => name,
            (None, Some(name)) if !name.is_empty() => name.to_owned(),
            _ => {
                return Err(Error::new_spanned(
                    ident,
                    "a setter is called `set_` and the property's name, or names the property: \
                     `#[setter(voltage)]`",
                ));
            }
        },
    };
    if name.starts_with('_') && kind != MemberKind::SessionEnded {
        return Err(Error::new_spanned(
            ident,
            "Pyro5 takes a name with an underscore in front as private: call it otherwise, or mark \
             the method `#[skip]`",
        ));
    }
    Ok(name)
}
