//! From `.proto` files to the contents of the generated files.

use std::collections::BTreeMap;
use std::path::Path;

use prost::Message;
use prost_build::{Config, Module};
use prost_types::{DescriptorProto, FileDescriptorSet};
use syn::Item;

use crate::Error;
use crate::write_out::{HEADER, write_out};

/// Contents of the generated files, by file name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// What is made of the `.proto` files.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Generated {
    /// The messages, and the schema itself.
    pub(crate) product: Files,
    /// The same messages with the derive macros of prost, for the tests that compare the two.
    pub(crate) derived: Files,
}

/// Name of the file that holds the encoded schema.
const DESCRIPTORS: &str = "descriptors.bin";

/// Messages with secrets. Their `Debug` is written by hand, in `proto/src/redacted.rs`.
const REDACTED: [&str; 5] = [
    ".authpb.User",
    ".etcdserverpb.AuthenticateRequest",
    ".etcdserverpb.AuthenticateResponse",
    ".etcdserverpb.AuthUserAddRequest",
    ".etcdserverpb.AuthUserChangePasswordRequest",
];

/// Fields whose name does not turn into a readable Rust one (`peer_ur_ls`), and the name that
/// does. The schema keeps the first one.
const RENAMED: [(&str, &str); 2] = [("peerURLs", "peer_urls"), ("clientURLs", "client_urls")];

/// Name of the file that lists all messages for the tests.
const EACH: &str = "each.rs";

/// Compiles all `.proto` files of the directory.
pub(crate) fn files(protos: &Path) -> Result<Generated, Error> {
    let mut descriptors = protox::compile(sources(protos)?, [protos])?;
    let mut product = Files::from([(DESCRIPTORS.to_owned(), encoded(&descriptors))]);
    rename_fields(&mut descriptors);

    for (file, code) in modules(&descriptors, Config::new().skip_debug(REDACTED))? {
        product.insert(file, write_out(&code)?.into_bytes());
    }
    let modules = modules(&descriptors, &mut Config::new())?;
    let mut derived = Files::from([(EACH.to_owned(), each(&modules)?.into_bytes())]);
    derived.extend(modules.into_iter().map(|(file, code)| (file, code.into_bytes())));
    Ok(Generated { product, derived })
}

/// Generates the code with the derive macros, by file name.
fn modules(
    descriptors: &FileDescriptorSet,
    config: &mut Config,
) -> Result<BTreeMap<String, String>, Error> {
    let requests = descriptors
        .file
        .iter()
        .map(|file| (Module::from_protobuf_package_name(file.package()), file.clone()))
        .collect();
    let modules = config.bytes(["."]).enable_type_names().generate(requests)?;
    Ok(modules.into_iter().map(|(module, code)| (module.to_file_name_or("_"), code)).collect())
}

/// Code of a macro that calls another one for each message, with its module and its name.
fn each(modules: &BTreeMap<String, String>) -> Result<String, Error> {
    let mut calls = Vec::new();
    for (file, code) in modules {
        let package = file.trim_end_matches(".rs");
        // The module of the health service is not named after its package.
        let module = package.strip_prefix("grpc.").map_or(package, |_| "health");
        for item in syn::parse_file(code)?.items {
            if let Item::Struct(message) = item {
                calls.push(format!("        $call!({module}, {});", message.ident));
            }
        }
    }
    let calls = calls.join("\n");
    Ok(format!(
        "{HEADER}macro_rules! each_message {{\n    ($call:ident) => {{\n{calls}\n    }};\n}}\n"
    ))
}

/// Names of the `.proto` files of the directory, sorted, so that the output is stable.
fn sources(protos: &Path) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for entry in protos.read_dir()? {
        let name = entry?
            .file_name()
            .into_string()
            .map_err(|name| format!("odd file name: {}", name.display()))?;
        if Path::new(&name).extension().is_some_and(|extension| extension == "proto") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Returns the schema without comments and positions, which change more often than it does.
fn encoded(descriptors: &FileDescriptorSet) -> Vec<u8> {
    let mut schema = descriptors.clone();
    for file in &mut schema.file {
        file.source_code_info = None;
    }
    schema.encode_to_vec()
}

fn rename_fields(descriptors: &mut FileDescriptorSet) {
    fn rename(message: &mut DescriptorProto) {
        for field in &mut message.field {
            if let Some((_, rust)) = RENAMED.iter().find(|(schema, _)| *schema == field.name()) {
                field.name = Some((*rust).to_owned());
            }
        }
        message.nested_type.iter_mut().for_each(rename);
    }
    descriptors.file.iter_mut().flat_map(|file| &mut file.message_type).for_each(rename);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn committed_protos() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto")
    }

    #[test]
    fn two_runs_give_the_same_files() {
        assert_eq!(files(&committed_protos()).unwrap(), files(&committed_protos()).unwrap());
    }

    #[test]
    fn committed_code_is_fresh() {
        let generated = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/generated");
        let derived = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/derived");
        let files = files(&committed_protos()).unwrap();
        assert_eq!(crate::sync::differences(&generated, &files.product).unwrap(), []);
        assert_eq!(crate::sync::differences(&derived, &files.derived).unwrap(), []);
    }
}
