//! A field of a message or of a oneof, as its `#[prost(…)]` attribute describes it.

use proc_macro2::{Literal, Span, TokenStream};
use quote::quote;
use syn::{Expr, ExprLit, Ident, Lit, Meta, MetaNameValue, Path};

use crate::Error;

/// A field of the schema.
pub(super) struct Field {
    /// Its number; a oneof has many.
    tags: Vec<u32>,
    kind: Kind,
    repeated: bool,
}

enum Kind {
    /// A number or a text, by the module of `prost::encoding` that encodes it.
    Scalar(&'static str),
    /// A number that stands for a value of this enum.
    Enumeration(Path),
    Message,
    Oneof(Path),
}

/// The modules of `prost::encoding` for scalars that our schema has.
const SCALARS: [&str; 7] = ["bool", "bytes", "int32", "int64", "string", "uint32", "uint64"];

impl Field {
    /// Reads the attributes of a field of a message.
    pub(super) fn of_message(attributes: &[Meta]) -> Result<Self, Error> {
        let (field, optional) = Self::read(attributes)?;
        let known = match field.kind {
            Kind::Message => optional != field.repeated,
            Kind::Oneof(_) => !optional && !field.repeated,
            Kind::Scalar(_) | Kind::Enumeration(_) => !optional,
        };
        if known { Ok(field) } else { Err("this combination of labels is not supported".into()) }
    }

    /// Reads the attributes of a variant of a oneof.
    pub(super) fn of_oneof(attributes: &[Meta]) -> Result<Self, Error> {
        let (field, optional) = Self::read(attributes)?;
        let labelled = optional || field.repeated;
        if labelled || !matches!(field.kind, Kind::Scalar(_) | Kind::Message) {
            return Err("only plain scalars and messages are supported in a oneof".into());
        }
        Ok(field)
    }

    fn read(attributes: &[Meta]) -> Result<(Self, bool), Error> {
        let (mut kind, mut tags) = (None, Vec::new());
        let (mut optional, mut repeated) = (false, false);
        for attribute in attributes {
            let name = attribute.path().require_ident()?.to_string();
            let text = text(attribute);
            match (name.as_str(), text.as_deref()) {
                ("tag" | "tags", Some(text)) => {
                    for tag in text.split(',') {
                        tags.push(tag.trim().parse()?);
                    }
                }
                ("optional", None) => optional = true,
                ("repeated", None) => repeated = true,
                // A message in a box is a message, too.
                ("boxed", None) => {}
                ("message", None) => kind = Some(Kind::Message),
                ("oneof", Some(path)) => kind = Some(Kind::Oneof(syn::parse_str(path)?)),
                ("enumeration", Some(path)) => {
                    kind = Some(Kind::Enumeration(syn::parse_str(path)?));
                }
                ("bytes", Some("bytes")) => kind = Some(Kind::Scalar("bytes")),
                (name, None) => {
                    let scalar = SCALARS.iter().find(|scalar| **scalar == name);
                    kind = Some(Kind::Scalar(scalar.ok_or_else(|| unsupported(name))?));
                }
                (name, Some(_)) => return Err(unsupported(name).into()),
            }
        }
        let kind = kind.ok_or("a field without a type")?;
        tags.sort_unstable();
        if tags.is_empty() {
            return Err("a field without a number".into());
        }
        Ok((Self { tags, kind, repeated }, optional))
    }

    /// Returns the pattern that its numbers match.
    pub(super) fn pattern(&self) -> TokenStream {
        let tags = self.tags.iter().copied().map(Literal::u32_unsuffixed);
        quote!(#(#tags)|*)
    }

    /// Returns the lowest of its numbers.
    pub(super) fn lowest_tag(&self) -> u32 {
        self.tags[0]
    }

    /// Returns the enum that its numbers stand for.
    pub(super) fn enumeration(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Enumeration(path) => Some(path),
            Kind::Scalar(_) | Kind::Message | Kind::Oneof(_) => None,
        }
    }

    pub(super) fn is_repeated(&self) -> bool {
        self.repeated
    }

    /// Returns a statement that encodes the field at this place of a message.
    pub(super) fn encode(&self, place: &TokenStream) -> TokenStream {
        let tag = self.tag();
        let message = quote!(encoding::message);
        match (&self.kind, self.repeated) {
            (Kind::Oneof(_), _) => quote!(if let Some(value) = &#place { value.encode(buf); }),
            (Kind::Message, true) => {
                quote!(for value in &#place { #message::encode(#tag, value, buf); })
            }
            (Kind::Message, false) => {
                quote!(if let Some(value) = &#place { #message::encode(#tag, value, buf); })
            }
            (Kind::Scalar(_) | Kind::Enumeration(_), true) => {
                let encode = self.of_scalar("encode");
                quote!(#encode(#tag, &#place, buf);)
            }
            (Kind::Scalar(_) | Kind::Enumeration(_), false) => {
                let (set, encode) = (self.is_set(place), self.of_scalar("encode"));
                quote!(if #set { #encode(#tag, &#place, buf); })
            }
        }
    }

    /// Returns a statement that adds the length of the field at this place of a message to `len`.
    pub(super) fn add_encoded_len(&self, place: &TokenStream) -> TokenStream {
        let tag = self.tag();
        let message = quote!(encoding::message);
        match (&self.kind, self.repeated) {
            (Kind::Oneof(_), _) => {
                quote!(if let Some(value) = &#place { len += value.encoded_len(); })
            }
            (Kind::Message, true) => quote!(len += #message::encoded_len_repeated(#tag, &#place);),
            (Kind::Message, false) => quote! {
                if let Some(value) = &#place { len += #message::encoded_len(#tag, value); }
            },
            (Kind::Scalar(_) | Kind::Enumeration(_), true) => {
                let encoded_len = self.of_scalar("encoded_len");
                quote!(len += #encoded_len(#tag, &#place);)
            }
            (Kind::Scalar(_) | Kind::Enumeration(_), false) => {
                let (set, encoded_len) = (self.is_set(place), self.of_scalar("encoded_len"));
                quote!(if #set { len += #encoded_len(#tag, &#place); })
            }
        }
    }

    /// Returns an expression that merges what is in `buf` into the field at this place of a
    /// message.
    pub(super) fn merge(&self, place: &TokenStream) -> TokenStream {
        match (&self.kind, self.repeated) {
            (Kind::Oneof(path), _) => quote!(#path::merge(&mut #place, tag, wire_type, buf, ctx)),
            (Kind::Message, false) => self.merge_value(&quote!(#place.get_or_insert_default())),
            (Kind::Message, true) => self.merge_value(&quote!(crate::with_room(&mut #place))),
            _ => self.merge_value(&quote!(&mut #place)),
        }
    }

    /// Returns a statement that encodes a value of a oneof.
    pub(super) fn encode_value(&self, value: &TokenStream) -> TokenStream {
        let (tag, module) = (self.tag(), self.module());
        quote!(#module::encode(#tag, #value, buf))
    }

    /// Returns an expression for the encoded length of a value of a oneof.
    pub(super) fn encoded_len_of_value(&self, value: &TokenStream) -> TokenStream {
        let (tag, module) = (self.tag(), self.module());
        quote!(#module::encoded_len(#tag, #value))
    }

    /// Returns an expression that merges what is in `buf` into a value.
    pub(super) fn merge_value(&self, value: &TokenStream) -> TokenStream {
        let module = self.module();
        let merge = ident(if self.repeated { "merge_repeated" } else { "merge" });
        quote!(#module::#merge(wire_type, #value, buf, ctx))
    }

    fn tag(&self) -> Literal {
        Literal::u32_unsuffixed(self.lowest_tag())
    }

    /// Returns the condition under which a field that is not repeated is on the wire.
    fn is_set(&self, place: &TokenStream) -> TokenStream {
        match self.kind {
            Kind::Scalar("bool") => quote!(#place),
            Kind::Scalar("bytes" | "string") => quote!(!#place.is_empty()),
            _ => quote!(#place != 0),
        }
    }

    /// Returns the path of a function for scalars, by its name for a single one.
    fn of_scalar(&self, name: &str) -> TokenStream {
        let module = self.module();
        let function = match (self.repeated, &self.kind) {
            (false, _) => ident(name),
            (true, Kind::Scalar("bytes" | "string")) => ident(&format!("{name}_repeated")),
            (true, _) => ident(&format!("{name}_packed")),
        };
        quote!(#module::#function)
    }

    fn module(&self) -> TokenStream {
        let module = ident(match self.kind {
            Kind::Scalar(module) => module,
            Kind::Enumeration(_) => "int32",
            Kind::Message | Kind::Oneof(_) => "message",
        });
        quote!(encoding::#module)
    }
}

fn ident(name: &str) -> Ident {
    Ident::new(name, Span::call_site())
}

/// Returns `text` of `name = "text"`.
fn text(attribute: &Meta) -> Option<String> {
    match attribute {
        Meta::NameValue(MetaNameValue {
            value: Expr::Lit(ExprLit { lit: Lit::Str(text), .. }),
            ..
        }) => Some(text.value()),
        _ => None,
    }
}

fn unsupported(name: &str) -> String {
    format!("#[prost({name})] is not supported")
}
