//! YAML: one document of scalars, lists and tables, without anchors and tags.

use super::{Content, Entry, MAX_DEPTH, Node, SyntaxError};
use crate::config::text::Text;
use saphyr_parser::{Event, Parser, ScalarStyle};

/// A list or table that is not at its end.
enum Open {
    List(usize, Vec<Node>),
    /// With the name of the key whose value comes next.
    Table(usize, Vec<Entry>, Option<(usize, String)>),
}

pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let mut parser = Parser::new_from_str(text);
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    while let Some(event) = parser.next_event() {
        // What the parser says of an error may quote the text.
        let (event, span) =
            event.map_err(|error| (error.marker().line(), "the syntax is wrong".to_owned()))?;
        let line = span.start.line();
        if open.len() > MAX_DEPTH {
            return Err((line, "it is nested too deep".to_owned()));
        }
        let node = match event {
            Event::Scalar(text, style, 0, None) => {
                let is_plain = matches!(style, ScalarStyle::Plain);
                let text = if is_plain { Text::plain(text) } else { Text::quoted(text) };
                Node { line, content: Content::Text(text) }
            }
            Event::SequenceStart(0, None) => {
                open.push(Open::List(line, Vec::new()));
                continue;
            }
            Event::MappingStart(0, None) => {
                open.push(Open::Table(line, Vec::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(line, nodes)) => Node { line, content: Content::List(nodes) },
                Some(Open::Table(line, entries, _)) => {
                    Node { line, content: Content::Table(entries) }
                }
                None => continue,
            },
            Event::DocumentStart(_) if root.is_some() => {
                return Err((line, "there is more than one document".to_owned()));
            }
            Event::Alias(_) => return Err((line, "there are no aliases".to_owned())),
            Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) => {
                return Err((line, "there are no anchors and no tags".to_owned()));
            }
            _ => continue,
        };
        put(&mut open, &mut root, node)?;
    }
    Ok(root.unwrap_or(Node { line: 0, content: Content::Table(Vec::new()) }))
}

/// Puts a node where it belongs: into what is open, or at the root.
fn put(open: &mut [Open], root: &mut Option<Node>, node: Node) -> Result<(), SyntaxError> {
    match open.last_mut() {
        None => *root = Some(node),
        Some(Open::List(_, nodes)) => nodes.push(node),
        Some(Open::Table(_, entries, key)) => match (key.take(), node) {
            (Some((line, name)), value) => entries.push(Entry { line, name, value }),
            (None, Node { line, content: Content::Text(text) }) => {
                *key = Some((line, text.as_str().to_owned()));
            }
            (None, node) => return Err((node.line, "a key is no text".to_owned())),
        },
    }
    Ok(())
}
