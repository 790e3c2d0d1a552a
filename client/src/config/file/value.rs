//! A configuration as a part of what another format has.

use super::{Content, Entry, Node, config_of};
use crate::config::Config;
use crate::config::text::Text;
use serde_core::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// The keys are those of [`Config::from_yaml`], so that a configuration can be a part of that of
/// the program, in any format of serde. Errors name the key; the line is for the format to say.
#[cfg_attr(docsrs, doc(cfg(feature = "config-file")))]
impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let root = Node::deserialize(deserializer)?;
        config_of(&root).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let content = deserializer.deserialize_any(Contents)?;
        Ok(Self { line: 0, content })
    }
}

struct Contents;

impl Contents {
    fn plain(text: &dyn ToString) -> Content {
        Content::Text(Text::plain(text.to_string()))
    }
}

impl<'de> Visitor<'de> for Contents {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, a list or a table")
    }

    fn visit_bool<E: Error>(self, is_on: bool) -> Result<Content, E> {
        Ok(Self::plain(&is_on))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Content, E> {
        Ok(Self::plain(&number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Content, E> {
        Ok(Self::plain(&number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Content, E> {
        Ok(Self::plain(&number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Content, E> {
        Ok(Content::Text(Text::quoted(text)))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Content, E> {
        Ok(Content::Text(Text::quoted(text)))
    }

    fn visit_unit<E: Error>(self) -> Result<Content, E> {
        Ok(Self::plain(&""))
    }

    fn visit_none<E: Error>(self) -> Result<Content, E> {
        Ok(Self::plain(&""))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Content, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = access.next_element()? {
            nodes.push(node);
        }
        Ok(Content::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some((name, value)) = access.next_entry()? {
            entries.push(Entry { line: 0, name, value });
        }
        Ok(Content::Table(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_core::de::value::{Error as ValueError, MapDeserializer};

    fn of(pairs: &[(&'static str, &'static str)]) -> Result<Config, ValueError> {
        Config::deserialize(MapDeserializer::new(pairs.iter().copied()))
    }

    #[test]
    fn a_configuration_is_a_part_of_another_one() {
        let config = of(&[("endpoints", "http://a, http://b"), ("max-attempts", "3")]).unwrap();
        assert_eq!(config.endpoints.texts(), ["http://a", "http://b"]);
        assert_eq!(config.max_attempts, 3);
        let error = of(&[("password", "canary"), ("max-attempts", "canary")]).unwrap_err();
        let told = error.to_string();
        assert!(told.starts_with("max-attempts: ") && !told.contains("canary"), "{told}");
    }
}
