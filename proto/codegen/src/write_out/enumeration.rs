//! What `#[derive(prost::Enumeration)]` makes.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{ItemEnum, parse_quote};

use super::replace_derive;
use crate::Error;

/// Takes the derive away and returns what it made.
pub(super) fn write_out(values: &mut ItemEnum) -> Result<TokenStream, Error> {
    replace_derive(&mut values.attrs, "Enumeration", &["Default"])?;
    let name = &values.ident;
    let first = values.variants.first_mut().ok_or_else(|| format!("{name}: no values"))?;
    // A field with the default is not on the wire: it is told from others by being zero.
    let number = first.discriminant.as_ref().map(|(_, number)| number.to_token_stream());
    if number.is_none_or(|number| number.to_string() != "0") {
        return Err(format!("{name}: the first value must be zero").into());
    }
    first.attrs.push(parse_quote!(#[default]));

    let mut arms = Vec::new();
    for variant in &values.variants {
        let value = &variant.ident;
        let (_, number) =
            variant.discriminant.as_ref().ok_or_else(|| format!("{name}::{value}: no number"))?;
        arms.push(quote!(#number => Ok(Self::#value),));
    }
    Ok(quote! {
        impl From<#name> for i32 {
            fn from(value: #name) -> Self {
                value as Self
            }
        }
        impl TryFrom<i32> for #name {
            type Error = ::prost::UnknownEnumValue;
            fn try_from(value: i32) -> Result<Self, ::prost::UnknownEnumValue> {
                match value {
                    #(#arms)*
                    _ => Err(::prost::UnknownEnumValue(value)),
                }
            }
        }
    })
}
