//! TOML.

use super::{Content, Entry, MAX_DEPTH, Node, SyntaxError};
use crate::config::text::Text;
use toml::de::{DeTable, DeValue};

pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let table = DeTable::parse(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        // What the parser says of an error may quote the text.
        (line_of(text, start), "the syntax is wrong".to_owned())
    })?;
    table_of(text, 1, table.get_ref(), 0)
}

/// Returns the line of this offset.
fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    before.filter(|byte| **byte == b'\n').count() + 1
}

fn table_of(
    text: &str,
    line: usize,
    table: &DeTable<'_>,
    depth: usize,
) -> Result<Node, SyntaxError> {
    let entries = table.iter().map(|(name, value)| {
        let line = line_of(text, name.span().start);
        let value = node_of(text, line, value.get_ref(), depth + 1)?;
        Ok(Entry { line, name: name.get_ref().to_string(), value })
    });
    let mut entries: Vec<Entry> = entries.collect::<Result<_, _>>()?;
    // The parser sorts them by name; of two errors the first is told.
    entries.sort_by_key(|entry| entry.line);
    Ok(Node { line, content: Content::Table(entries) })
}

fn node_of(
    text: &str,
    line: usize,
    value: &DeValue<'_>,
    depth: usize,
) -> Result<Node, SyntaxError> {
    if depth > MAX_DEPTH {
        return Err((line, "it is nested too deep".to_owned()));
    }
    let content = match value {
        DeValue::String(text) => Content::Text(Text::quoted(&text[..])),
        DeValue::Integer(number) => Content::Text(Text::plain(number.to_string())),
        DeValue::Float(number) => Content::Text(Text::plain(number.to_string())),
        DeValue::Boolean(is_on) => Content::Text(Text::plain(is_on.to_string())),
        DeValue::Datetime(moment) => Content::Text(Text::plain(moment.to_string())),
        DeValue::Array(values) => {
            let nodes = values.iter().map(|value| {
                let line = line_of(text, value.span().start);
                node_of(text, line, value.get_ref(), depth + 1)
            });
            Content::List(nodes.collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => return table_of(text, line, table, depth),
    };
    Ok(Node { line, content })
}
