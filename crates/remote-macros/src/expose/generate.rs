//! Generator of the implementation of `remote::Expose` for the members of a block.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Ident, ItemImpl, Lit, ReturnType};

use super::describe::card_fn;
use super::member::{Execution, Member, MemberKind, SelfType};
use super::parameter::{Parameter, Passed, ValueSource, is_type_named};

pub(super) fn generate_impl(block: &ItemImpl, class: &str, members: &[Member]) -> TokenStream {
    let ty = &block.self_ty;
    let (generics, _, bounds) = block.generics.split_for_impl();
    let of = |kind| members.iter().filter(move |member| member.kind == kind);
    let facts = members.iter().map(metadata_statements);
    let methods = of(MemberKind::Method).map(|member| method_arm(member, class));
    let getters = of(MemberKind::Getter).map(|member| getter_arm(member, class));
    let setters = of(MemberKind::Setter).map(|member| setter_arm(member, class));
    let ended = of(MemberKind::SessionEnded).map(session_ended_fn);
    let get_property = property_fn(
        &quote!(get_property),
        &quote!(),
        &quote!(this, caller, name),
        getters.collect(),
    );
    let set_property = property_fn(
        &quote!(set_property),
        &quote!(value: ::remote::Value,),
        &quote!(this, caller, name, value),
        setters.collect(),
    );
    let card = card_fn(block, class, members);
    quote! {
        #[automatically_derived]
        #[allow(clippy::all, unused_variables)]
        impl #generics ::remote::Expose for #ty #bounds {
            const CLASS: &'static str = #class;

            fn metadata() -> ::remote::Metadata {
                let mut metadata = ::remote::Metadata::default();
                #(#facts)*
                metadata
            }

            #card

            fn call_method(
                this: &::std::sync::Arc<Self>,
                caller: ::remote::Caller<'_>,
                call: ::remote::MethodCall,
            ) -> ::remote::Answer {
                match call.method.as_str() {
                    #(#methods)*
                    name => ::remote::Answer::exception(
                        ::remote::native::glue::no_method::<Self>(name),
                    ),
                }
            }

            #get_property
            #set_property
            #(#ended)*
        }
    }
}

/// The function `get_property` or `set_property` with these match arms.
fn property_fn(
    function: &TokenStream,
    value: &TokenStream,
    unused: &TokenStream,
    arms: Vec<TokenStream>,
) -> TokenStream {
    let body = if arms.is_empty() {
        quote! {
            let _ = (#unused);
            ::core::option::Option::None
        }
    } else {
        quote! {
            ::core::option::Option::Some(match name {
                #(#arms)*
                _ => return ::core::option::Option::None,
            })
        }
    };
    quote! {
        fn #function(
            this: &::std::sync::Arc<Self>,
            caller: ::remote::Caller<'_>,
            name: &str,
            #value
        ) -> ::core::option::Option<::remote::Answer> {
            #body
        }
    }
}

/// The statements that add the member to the metadata.
fn metadata_statements(member: &Member) -> TokenStream {
    let Member { name, docs, cfgs, .. } = member;
    let names = match member.kind {
        MemberKind::Method => quote!(methods),
        MemberKind::Getter => quote!(attrs),
        MemberKind::Setter | MemberKind::SessionEnded => return TokenStream::new(),
    };
    let mut facts = quote!(metadata.#names.push(#name.into()););
    if member.oneway {
        facts.extend(quote!(metadata.oneway.push(#name.into());));
    }
    if !docs.is_empty() {
        facts.extend(quote!(metadata.docs.push((#name.into(), #docs.into()));));
    }
    quote!(#(#cfgs)* { #facts })
}

fn method_arm(member: &Member, class: &str) -> TokenStream {
    let Member { name, cfgs, .. } = member;
    let qualified = format!("{class}.{name}");
    let names = member.arguments().map(|parameter| &parameter.name);
    let required = member.arguments().filter(|parameter| parameter.default.is_none()).count();
    let idents: Vec<Ident> = argument_idents(member);
    let conversions =
        member.arguments().zip(&idents).enumerate().map(|(index, (parameter, ident))| {
            let ty = &parameter.owned;
            let convert = match &parameter.default {
                None => quote_spanned! {ty.span()=>
                    ::remote::native::glue::required::<#ty>(&SIGNATURE, #index, #ident)?
                },
                Some(default) => {
                    // A string literal as the default of a `String` needs a conversion.
                    let is_text = matches!(default, Expr::Lit(ExprLit { lit: Lit::Str(_), .. }))
                        && is_type_named(ty, "String");
                    let text = is_text.then(|| quote!(.into()));
                    quote_spanned! {ty.span()=>
                        ::remote::native::glue::optional::<#ty>(
                            &SIGNATURE, #index, #ident, || #default #text
                        )?
                    }
                }
            };
            quote!(#convert,)
        });
    let answer = answer_expr(member, &idents, &qualified);
    quote! {
        #(#cfgs)*
        #name => {
            const SIGNATURE: ::remote::Signature = ::remote::Signature {
                name: #qualified,
                parameters: &[#(#names),*],
                required: #required,
            };
            let arguments = SIGNATURE
                .bind(call)
                .and_then(|[#(#idents),*]| ::core::result::Result::Ok((#(#conversions)*)));
            match arguments {
                ::core::result::Result::Ok((#(#idents,)*)) => #answer,
                ::core::result::Result::Err(exception) => ::remote::Answer::exception(exception),
            }
        }
    }
}

fn getter_arm(member: &Member, class: &str) -> TokenStream {
    let Member { name, cfgs, .. } = member;
    let answer = answer_expr(member, &[], &format!("{class}.{name}"));
    quote!(#(#cfgs)* #name => #answer,)
}

fn setter_arm(member: &Member, class: &str) -> TokenStream {
    let Member { name, cfgs, .. } = member;
    let qualified = format!("{class}.{name}");
    let idents = argument_idents(member);
    let answer = answer_expr(member, &idents, &qualified);
    let conversions = member.arguments().map(|parameter| {
        let ty = &parameter.owned;
        quote_spanned!(ty.span()=> ::remote::native::glue::assigned::<#ty>(#qualified, value))
    });
    quote! {
        #(#cfgs)*
        #name => match #(#conversions)* {
            ::core::result::Result::Ok(#(#idents)*) => #answer,
            ::core::result::Result::Err(exception) => ::remote::Answer::exception(exception),
        },
    }
}

fn session_ended_fn(member: &Member) -> TokenStream {
    let Member { ident, cfgs, .. } = member;
    let object = receiver_expr(member, &quote!(this));
    let passed = member.parameters.iter().map(|_| quote!(session));
    quote! {
        #(#cfgs)*
        fn session_ended(this: &::std::sync::Arc<Self>, session: &::remote::Session) {
            Self::#ident(#object, #(#passed),*);
        }
    }
}

/// The variables of the arguments.
fn argument_idents(member: &Member) -> Vec<Ident> {
    (0..member.arguments().count()).map(|index| format_ident!("argument{index}")).collect()
}

/// The expression that calls the method and makes its result an `Answer`.
fn answer_expr(member: &Member, idents: &[Ident], qualified: &str) -> TokenStream {
    let ident = &member.ident;
    let mut idents = idents.iter();
    let mut passed = Vec::new();
    let mut kept = vec![quote!(let this = ::std::sync::Arc::clone(this);)];
    let waits = member.execution != Execution::Immediate;
    for parameter in &member.parameters {
        passed.push(match parameter.source {
            ValueSource::Argument => argument_expr(parameter, idents.next()),
            ValueSource::Session if waits => {
                kept.push(quote!(let session = ::std::sync::Arc::clone(caller.session);));
                quote!(&session)
            }
            ValueSource::Context if waits => {
                kept.push(quote!(let context = ::core::clone::Clone::clone(caller.context);));
                quote!(&context)
            }
            ValueSource::Session => quote!(caller.session),
            ValueSource::Context => quote!(caller.context),
        });
    }
    let this = if waits { quote!(&this) } else { quote!(this) };
    let object = receiver_expr(member, &this);
    let wait = (member.execution == Execution::Async).then(|| quote!(.await));
    let wrap = glue_function(member);
    // The span makes the compiler point at a result type that cannot be converted.
    let span = output_span(member);
    let result = quote_spanned!(span=> #wrap(Self::#ident(#object, #(#passed),*) #wait));
    match member.execution {
        Execution::Immediate => quote!(::remote::Answer::Ready(#result)),
        Execution::Async => quote!({
            #(#kept)*
            ::remote::Answer::Pending(::std::boxed::Box::pin(async move { #result }))
        }),
        Execution::Blocking => quote!({
            #(#kept)*
            ::remote::Answer::Pending(::std::boxed::Box::pin(
                ::remote::native::glue::blocking(
                    #qualified,
                    caller.context.may_start.clone(),
                    move || #result,
                ),
            ))
        }),
    }
}

fn receiver_expr(member: &Member, this: &TokenStream) -> TokenStream {
    match member.receiver {
        SelfType::Ref | SelfType::RefArc => this.clone(),
        SelfType::Arc => quote!(::std::sync::Arc::clone(#this)),
    }
}

fn argument_expr(parameter: &Parameter, ident: Option<&Ident>) -> TokenStream {
    match parameter.passed {
        Passed::Value => quote!(#ident),
        Passed::Reference => quote!(&#ident),
        Passed::Dereferenced => quote!(#ident.as_deref()),
        Passed::OptionalReference => quote!(#ident.as_ref()),
    }
}

/// The function of `remote::native::glue` that makes an answer of the member's result.
fn glue_function(member: &Member) -> TokenStream {
    let fails = matches!(&member.output, ReturnType::Type(_, ty) if is_type_named(ty, "Result"));
    let function = match (member.stream, fails, member.execution == Execution::Blocking) {
        (false, false, _) => "result",
        (false, true, _) => "try_result",
        (true, false, false) => "stream",
        (true, false, true) => "blocking_stream",
        (true, true, false) => "try_stream",
        (true, true, true) => "try_blocking_stream",
    };
    let function = Ident::new(function, output_span(member));
    quote!(::remote::native::glue::#function)
}

fn output_span(member: &Member) -> Span {
    match &member.output {
        ReturnType::Default => member.ident.span(),
        ReturnType::Type(_, ty) => ty.span(),
    }
}
