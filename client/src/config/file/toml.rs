//! TOML.

use super::{Content, Entry, MAX_DEPTH, Node, SyntaxError};
use crate::config::text::Text;
use toml::de::{DeTable, DeValue};

pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let lines = Lines::of(text);
    let table = DeTable::parse(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        // What the parser says of an error may quote the text.
        (lines.line_of(start), "the syntax is wrong".to_owned())
    })?;
    table_of(&lines, 1, table.get_ref(), 0)
}

/// Where the lines of a text end: found once, since each key has its line looked up.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at).collect())
    }

    /// Returns the line of this offset.
    fn line_of(&self, offset: usize) -> usize {
        self.0.partition_point(|end| *end < offset) + 1
    }
}

fn table_of(
    lines: &Lines,
    line: usize,
    table: &DeTable<'_>,
    depth: usize,
) -> Result<Node, SyntaxError> {
    let entries = table.iter().map(|(name, value)| {
        let line = lines.line_of(name.span().start);
        let value = node_of(lines, line, value.get_ref(), depth + 1)?;
        Ok(Entry { line, name: name.get_ref().to_string(), value })
    });
    let mut entries: Vec<Entry> = entries.collect::<Result<_, _>>()?;
    // The parser sorts them by name; of two errors the first is told.
    entries.sort_by_key(|entry| entry.line);
    Ok(Node { line, content: Content::Table(entries) })
}

fn node_of(
    lines: &Lines,
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
                let line = lines.line_of(value.span().start);
                node_of(lines, line, value.get_ref(), depth + 1)
            });
            Content::List(nodes.collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => return table_of(lines, line, table, depth),
    };
    Ok(Node { line, content })
}

#[cfg(test)]
mod tests {
    use super::Lines;

    #[test]
    fn the_end_of_a_line_belongs_to_it() {
        let lines = Lines::of("a\n\nb");
        assert_eq!([0, 1, 2, 3, 4, 9].map(|offset| lines.line_of(offset)), [1, 1, 2, 3, 3, 3]);
        assert_eq!(Lines::of("").line_of(0), 1);
    }
}
