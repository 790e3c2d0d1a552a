//! Every method of `Client` and of its handles has an example, and stands in a table of operations.

use crate::passed::Passed;
use crate::workspace;
use etcd3_lab::{Error, Result};

/// The tables that the front pages show.
const TABLES: [&str; 2] = ["client/src/front_page.rs", "client/src/front_page/maintenance.rs"];
/// The types whose methods are operations.
const TYPES: &[&str] = &["Client", "Auth", "Cluster", "Maintenance", "Services"];
/// What makes a client, and is no operation of one.
const CONSTRUCTORS: &[&str] = &["Client::connect_on", "Client::connect_lazy_on"];

/// A method that users see.
#[derive(Debug, PartialEq, Eq)]
struct Documented {
    /// Of type and method, as in `Client::get`.
    name: String,
    has_example: bool,
}

pub(super) fn check() -> Result<Passed> {
    let mut methods = Vec::new();
    for file in workspace::files()? {
        if file.starts_with("client/src/") && workspace::is_source(&file) {
            methods.extend(methods_in(&workspace::read(&file)?));
        }
    }
    let tables = TABLES.map(workspace::read).into_iter().collect::<Result<Vec<_>>>()?;
    let problems = problems_of(&methods, &tables.concat());
    if problems.is_empty() && !methods.is_empty() {
        let count = methods.len();
        return Ok(Passed::saying(format!("{count} of {count} operations have an example")));
    }
    Err(Error::new(problems.join("\n")))
}

fn problems_of(methods: &[Documented], table: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for Documented { name, has_example } in methods {
        if !has_example {
            problems.push(format!("{name} has no example."));
        }
        // A link of its own, or into a module.
        let is_listed = ['(', ':'].iter().any(|before| table.contains(&format!("{before}{name})")));
        if !is_listed && !CONSTRUCTORS.contains(&name.as_str()) {
            problems.push(format!("{}: {name} is missing.", TABLES[0]));
        }
    }
    problems
}

/// Finds the public methods in the blocks `impl Client` and the like of a source file.
fn methods_in(text: &str) -> Vec<Documented> {
    TYPES.iter().flat_map(|of| methods_of(of, text)).collect()
}

fn methods_of(of: &str, text: &str) -> Vec<Documented> {
    let mut methods = Vec::new();
    let begin = format!("\nimpl {of} {{\n");
    let blocks = text.split(begin.as_str()).skip(1);
    for block in blocks.filter_map(|rest| rest.split("\n}\n").next()) {
        let (mut fences, mut is_hidden) = (0, false);
        for line in block.lines().map(str::trim_start) {
            if let Some(name) = name_in(line) {
                if !is_hidden {
                    methods.push(Documented {
                        name: format!("{of}::{name}"),
                        has_example: fences >= 2,
                    });
                }
                (fences, is_hidden) = (0, false);
            } else if line.starts_with("#[doc(hidden)]") {
                is_hidden = true;
            } else if line.starts_with("/// ```") {
                fences += 1;
            } else if line.starts_with("fn ") || line.starts_with("pub(crate) ") {
                (fences, is_hidden) = (0, false);
            }
        }
    }
    methods
}

/// Finds the name in the line that begins a public method.
fn name_in(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("pub ")?;
    let rest = rest.strip_prefix("async ").or_else(|| rest.strip_prefix("const ")).unwrap_or(rest);
    rest.strip_prefix("fn ")?.split(['(', '<']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "use a;

impl Client {
    /// Reads.
    ///
    /// ```
    /// client.get(1);
    /// ```
    pub fn get(&self) {}

    /// Writes.
    pub async fn put<T>(&self) {}

    /// ```
    /// ```
    #[doc(hidden)]
    pub fn raw(&self) {}

    fn own(&self) {}
}

impl Auth {
    pub fn status(&self) {}
}

impl Other {
    pub fn other(&self) {}
}
";

    #[test]
    fn the_methods_of_a_client_that_users_see_are_found_with_their_examples() {
        let found = methods_in(SOURCE);
        let found: Vec<_> = found.iter().map(|it| (it.name.as_str(), it.has_example)).collect();
        let expected = [("Client::get", true), ("Client::put", false), ("Auth::status", false)];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_method_needs_an_example_and_a_row() {
        let method =
            |name, has_example| Documented { name: format!("Client::{name}"), has_example };
        let methods = [method("get", true), method("put", false), method("connect_on", true)];
        let problems = problems_of(&methods, "[`put`](Client::put)");
        let missing = format!("{}: Client::get is missing.", TABLES[0]);
        assert_eq!(problems, [missing, "Client::put has no example.".to_owned()]);
    }
}
