//! A configuration from a file.

mod toml;
mod value;
mod yaml;

use super::draft::{Draft, Origin, refused, split};
use super::keys::{self, Setting};
use super::text::{Refusal, Text};
use super::{Config, Error};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// Tables of tables are not nested deeper.
const MAX_DEPTH: usize = 8;

/// A piece of a file.
#[derive(Debug)]
struct Node {
    /// The line, from 1 on; 0 where there are no lines.
    line: usize,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Text(Text),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key of a table with its value.
#[derive(Debug)]
struct Entry {
    line: usize,
    name: String,
    value: Node,
}

/// Why a text is not of its format: the line, and what is wrong, if that can be told.
type SyntaxError = (usize, String);

#[derive(Clone, Copy)]
enum Format {
    Yaml,
    Toml,
}

#[cfg_attr(docsrs, doc(cfg(feature = "config-file")))]
impl Config {
    /// Reads a file, by its name in YAML (`.yaml`, `.yml`, `.json`) or in TOML (`.toml`), as
    /// [`from_yaml`](Self::from_yaml) and [`from_toml`](Self::from_toml) do.
    ///
    /// The file is read at once, blocking, and so are the certificates that it names, to find out
    /// whether they can be; they are read again at every connect. Their paths are relative to the
    /// directory of the process.
    ///
    /// # Errors
    ///
    /// Kind [`InvalidConfig`] when the file cannot be read, is longer than 1 MiB or names
    /// certificates that cannot be used, and as the other two.
    ///
    /// [`InvalidConfig`]: crate::ErrorKind::InvalidConfig
    // C27, C29
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let told = |why: String| refused(format!("{}: {why}", path.display()));
        let format = match path.extension().and_then(|it| it.to_str()) {
            Some("yaml" | "yml" | "json") => Format::Yaml,
            Some("toml") => Format::Toml,
            _ => return Err(told("the name must end in .yaml, .yml, .json or .toml".to_owned())),
        };
        let text = read(path).map_err(told)?;
        let config = parse(format, &text).map_err(told)?;
        if let Some(tls) = &config.tls {
            tls.check_files().map_err(|cause| told(cause.to_string()))?;
        }
        Ok(config)
    }

    /// Reads a configuration in YAML, with the keys of clientv3's own files or with the names of
    /// the settings here; `docs/configuration.md` has all of them.
    ///
    /// Durations are written as `5s`, `500ms` or `1m30s`, or as a number of nanoseconds, as
    /// clientv3 demands it. Endpoints that do not say whether they speak TLS (`host:port`) do,
    /// unless `insecure-transport` is `true`: then they need `ca-file`.
    ///
    /// # Errors
    ///
    /// Kind [`InvalidConfig`], with the line and the key that is unknown, given twice or cannot be
    /// read; never with its value.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::Config;
    ///
    /// let config = Config::from_yaml("endpoints: [http://10.0.0.1:2379]\ndial-timeout: 5s\n")?;
    /// # let _ = config;
    /// let error = Config::from_yaml("endpoints: [http://a]\ndial-timout: 5s").unwrap_err();
    /// assert!(error.report().to_string().contains("line 2: \"dial-timout\" is unknown"));
    /// # Ok::<(), etcd3::Error>(())
    /// ```
    ///
    /// [`InvalidConfig`]: crate::ErrorKind::InvalidConfig
    // C25 to C29
    pub fn from_yaml(text: &str) -> Result<Self, Error> {
        parse(Format::Yaml, text).map_err(refused)
    }

    /// Reads a configuration in TOML, with the same keys as in [YAML](Self::from_yaml).
    ///
    /// # Errors
    ///
    /// As [`from_yaml`](Self::from_yaml).
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::Config;
    ///
    /// let text = "endpoints = ['http://10.0.0.1:2379']\nrequest-timeout = '5s'\n";
    /// let config = Config::from_toml(text)?;
    /// # let _ = config;
    /// # Ok::<(), etcd3::Error>(())
    /// ```
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        parse(Format::Toml, text).map_err(refused)
    }
}

fn read(path: &Path) -> Result<String, Refusal> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut text));
    let length = read.map_err(|error| error.to_string())?;
    if length as u64 > MAX_FILE {
        return Err(format!("it is longer than {MAX_FILE} bytes"));
    }
    String::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())
}

fn parse(format: Format, text: &str) -> Result<Config, Refusal> {
    let (root, name) = match format {
        Format::Yaml => (yaml::parse(text), "YAML"),
        Format::Toml => (toml::parse(text), "TOML"),
    };
    let root =
        root.map_err(|(line, why)| at(line, &format!("not {name} as it is read here: {why}")))?;
    config_of(&root)
}

fn config_of(root: &Node) -> Result<Config, Refusal> {
    let mut draft = Draft::new(Origin::File);
    match &root.content {
        Content::Table(entries) => take(&mut draft, "", entries)?,
        Content::Text(text) if text.is_nothing() => {}
        _ => return Err(at(root.line, "there is no table of settings")),
    }
    draft.finish()
}

/// Puts the line before an error, where there are lines.
fn at(line: usize, why: &str) -> Refusal {
    if line == 0 { why.to_owned() } else { format!("line {line}: {why}") }
}

/// Takes over the settings of a table: that of the file, or the one of this name in it.
fn take(draft: &mut Draft, table: &str, entries: &[Entry]) -> Result<(), Refusal> {
    for entry in entries {
        let path =
            if table.is_empty() { entry.name.clone() } else { format!("{table}.{}", entry.name) };
        let is_table = table.is_empty() && matches!(&path[..], "secure" | "auth");
        match &entry.value.content {
            Content::Table(entries) if is_table => take(draft, &path, entries)?,
            Content::Text(text) if is_table && text.is_nothing() => {}
            content => set(draft, &path, entry.line, content)?,
        }
    }
    Ok(())
}

fn set(draft: &mut Draft, name: &str, line: usize, content: &Content) -> Result<(), Refusal> {
    let Some((key, is_clientv3)) = keys::find(name, true) else {
        return Err(at(line, &keys::unknown("", name)));
    };
    draft.note(key, at(line, name))?;
    let told = |why: &str| at(line, &format!("{name}: {why}"));
    match (key.setting, content) {
        (setting, Content::Text(text)) => {
            draft.set(setting, text, is_clientv3).map_err(|why| told(&why))
        }
        (Setting::Endpoints, Content::List(nodes)) => {
            let texts = nodes.iter().map(|node| match &node.content {
                Content::Text(text) => Ok(text.as_str()),
                _ => Err(at(node.line, &format!("{name}: give each endpoint as a text"))),
            });
            let texts: Vec<&str> = texts.collect::<Result<_, _>>()?;
            draft.endpoints(texts.into_iter().flat_map(split).collect());
            Ok(())
        }
        (_, Content::List(_)) => Err(told("give one value, not a list")),
        (_, Content::Table(_)) => Err(told("give a value, not a table")),
    }
}

#[cfg(test)]
mod tests;
