//! What `#[derive(prost::Message)]` makes.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::{Ident, ItemStruct, Path};

use super::field::Field;
use super::{replace_derive, take_prost};
use crate::Error;

/// Takes the derive away and returns what it made.
pub(super) fn write_out(message: &mut ItemStruct) -> Result<TokenStream, Error> {
    let is_redacted = skips_debug(message)?;
    let fields = fields(message)?;
    let has_enums = fields.iter().any(|(_, field)| field.enumeration().is_some());
    let standard: &[&str] =
        if is_redacted || has_enums { &["Default"] } else { &["Debug", "Default"] };
    replace_derive(&mut message.attrs, "Message", standard)?;

    let name = &message.ident;
    let debug = (has_enums && !is_redacted).then(|| debug(name, &fields));
    let accessors = has_enums.then(|| accessors(name, &fields));
    let message = implementation(name, fields);
    Ok(quote!(#message #debug #accessors))
}

fn skips_debug(message: &mut ItemStruct) -> Result<bool, Error> {
    let attributes = take_prost(&mut message.attrs)?;
    if let Some(other) = attributes.iter().find(|it| !it.path().is_ident("skip_debug")) {
        return Err(format!("{}: {} is not supported", message.ident, quote!(#other)).into());
    }
    Ok(!attributes.is_empty())
}

fn fields(message: &mut ItemStruct) -> Result<Vec<(Ident, Field)>, Error> {
    let mut fields = Vec::new();
    for field in &mut message.fields {
        let name = field.ident.clone().ok_or("a field without a name")?;
        let read = Field::of_message(&take_prost(&mut field.attrs)?)
            .map_err(|error| format!("{}.{name}: {error}", message.ident))?;
        fields.push((name, read));
    }
    Ok(fields)
}

/// Fields are encoded in the order of their numbers, like everybody does.
fn implementation(message: &Ident, mut fields: Vec<(Ident, Field)>) -> TokenStream {
    fields.sort_by_key(|(_, field)| field.lowest_tag());
    let places = fields.iter().map(|(name, field)| (quote!(self.#name), field));
    let encode = places.clone().map(|(place, field)| field.encode(&place));
    let lengths = places.map(|(place, field)| field.add_encoded_len(&place));
    let merge = merge(message, &fields);
    let (buf, len) = if fields.is_empty() {
        (quote!(_buf), quote!(0))
    } else {
        (quote!(buf), quote!(let mut len = 0; #(#lengths)* len))
    };
    quote! {
        impl ::prost::Message for #message {
            fn encode_raw(&self, #buf: &mut impl ::prost::bytes::BufMut) {
                #(#encode)*
            }
            fn merge_field(
                &mut self,
                tag: u32,
                wire_type: encoding::WireType,
                buf: &mut impl ::prost::bytes::Buf,
                ctx: encoding::DecodeContext,
            ) -> Result<(), ::prost::DecodeError> {
                #merge
            }
            #[inline]
            fn encoded_len(&self) -> usize {
                #len
            }
            fn clear(&mut self) {
                *self = Self::default();
            }
        }
    }
}

/// Returns the body of `merge_field`: an error carries the names on the way to it.
fn merge(message: &Ident, fields: &[(Ident, Field)]) -> TokenStream {
    let skip = quote!(encoding::skip_field(wire_type, tag, buf, ctx));
    if fields.is_empty() {
        return skip;
    }
    let merges = fields.iter().map(|(name, field)| {
        let (pattern, merge) = (field.pattern(), field.merge(&quote!(self.#name)));
        quote!(#pattern => #merge,)
    });
    let names = fields.iter().map(|(name, field)| {
        let (pattern, name) = (field.pattern(), name.unraw().to_string());
        quote!(#pattern => #name,)
    });
    let message = message.to_string();
    quote! {
        let merged = match tag {
            #(#merges)*
            _ => #skip,
        };
        merged.map_err(|mut error| {
            let field = match tag {
                #(#names)*
                _ => return error,
            };
            error.push(#message, field);
            error
        })
    }
}

/// Returns an `impl Debug` that shows the names of enum values.
fn debug(message: &Ident, fields: &[(Ident, Field)]) -> TokenStream {
    let calls = fields.iter().map(|(name, field)| {
        let text = name.unraw().to_string();
        let value = match field.enumeration() {
            None => quote!(&self.#name),
            Some(path) if field.is_repeated() => {
                quote!(&crate::debug::Values::<#path>::of(&self.#name))
            }
            Some(path) => quote!(&crate::debug::Value::<#path>::of(self.#name)),
        };
        quote!(.field(#text, #value))
    });
    let text = message.to_string();
    quote! {
        impl ::core::fmt::Debug for #message {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.debug_struct(#text) #(#calls)* .finish()
            }
        }
    }
}

/// Returns the methods that read and write enum fields as enums.
fn accessors(message: &Ident, fields: &[(Ident, Field)]) -> TokenStream {
    let methods = fields.iter().filter_map(|(name, field)| {
        let path = field.enumeration()?;
        Some(if field.is_repeated() { of_many(name, path) } else { of_one(name, path) })
    });
    quote!(impl #message { #(#methods)* })
}

fn of_one(name: &Ident, path: &Path) -> TokenStream {
    let plain = name.unraw();
    let set = format_ident!("set_{plain}");
    let get_doc = format!(" Returns `{plain}` as an enum: its default if the value is not known.");
    let set_doc = format!(" Sets `{plain}`.");
    quote! {
        #[doc = #get_doc]
        pub fn #name(&self) -> #path {
            self.#name.try_into().unwrap_or_default()
        }
        #[doc = #set_doc]
        pub fn #set(&mut self, value: #path) {
            self.#name = value.into();
        }
    }
}

fn of_many(name: &Ident, path: &Path) -> TokenStream {
    let plain = name.unraw();
    let push = format_ident!("push_{plain}");
    let get_doc = format!(" Iterates over those of `{plain}` that are known.");
    let push_doc = format!(" Appends to `{plain}`.");
    quote! {
        #[doc = #get_doc]
        pub fn #name(&self) -> impl Iterator<Item = #path> {
            self.#name.iter().filter_map(|value| #path::try_from(*value).ok())
        }
        #[doc = #push_doc]
        pub fn #push(&mut self, value: #path) {
            self.#name.push(value.into());
        }
    }
}
