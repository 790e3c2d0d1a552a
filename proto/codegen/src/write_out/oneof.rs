//! What `#[derive(prost::Oneof)]` makes.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Ident, ItemEnum};

use super::field::Field;
use super::{replace_derive, take_prost};
use crate::Error;

/// Takes the derive away and returns what it made.
pub(super) fn write_out(oneof: &mut ItemEnum) -> Result<TokenStream, Error> {
    let variants = variants(oneof)?;
    replace_derive(&mut oneof.attrs, "Oneof", &["Debug"])?;

    let name = &oneof.ident;
    let value = quote!(value);
    let encode = variants.iter().map(|(variant, field)| {
        let encode = field.encode_value(&value);
        quote!(Self::#variant(value) => #encode,)
    });
    let encoded_len = variants.iter().map(|(variant, field)| {
        let encoded_len = field.encoded_len_of_value(&value);
        quote!(Self::#variant(value) => #encoded_len,)
    });
    let merge = variants.iter().map(|(variant, field)| merge(variant, field));
    let no_field = format!("field {{tag}} is not in {name}");
    Ok(quote! {
        impl #name {
            /// Encodes the field.
            pub fn encode(&self, buf: &mut impl ::prost::bytes::BufMut) {
                match self {
                    #(#encode)*
                }
            }
            /// Decodes the field with this number, which must be one of these, and merges it.
            pub fn merge(
                field: &mut Option<Self>,
                tag: u32,
                wire_type: encoding::WireType,
                buf: &mut impl ::prost::bytes::Buf,
                ctx: encoding::DecodeContext,
            ) -> Result<(), ::prost::DecodeError> {
                match tag {
                    #(#merge)*
                    _ => unreachable!(#no_field),
                }
            }
            /// Returns the length of the encoded field.
            #[inline]
            pub fn encoded_len(&self) -> usize {
                match self {
                    #(#encoded_len)*
                }
            }
        }
    })
}

fn variants(oneof: &mut ItemEnum) -> Result<Vec<(Ident, Field)>, Error> {
    let mut variants = Vec::new();
    for variant in &mut oneof.variants {
        let name = variant.ident.clone();
        let field = Field::of_oneof(&take_prost(&mut variant.attrs)?)
            .map_err(|error| format!("{}::{name}: {error}", oneof.ident))?;
        variants.push((name, field));
    }
    Ok(variants)
}

/// Returns an arm of `merge`. A message is merged into one that is there already; a field that is
/// broken leaves what was there before.
fn merge(variant: &Ident, field: &Field) -> TokenStream {
    let pattern = field.pattern();
    let merge_present = field.merge_value(&quote!(value));
    let merge_new = field.merge_value(&quote!(&mut value));
    quote! {
        #pattern => {
            if let Some(Self::#variant(value)) = field {
                return #merge_present;
            }
            let mut value = Default::default();
            #merge_new?;
            *field = Some(Self::#variant(value));
            Ok(())
        }
    }
}
