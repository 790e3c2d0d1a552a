//! From `.proto` files to the contents of the generated files.

use std::collections::BTreeMap;
use std::path::Path;

use prost::Message;
use prost_build::{Config, Module};
use prost_types::{DescriptorProto, FileDescriptorSet};

use crate::Error;

/// Contents of the generated files, by file name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

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

/// Compiles all `.proto` files of the directory.
pub(crate) fn files(protos: &Path) -> Result<Files, Error> {
    let mut descriptors = protox::compile(sources(protos)?, [protos])?;
    let mut files = Files::from([(DESCRIPTORS.to_owned(), encoded(&descriptors))]);
    rename_fields(&mut descriptors);

    let requests = descriptors
        .file
        .into_iter()
        .map(|file| (Module::from_protobuf_package_name(file.package()), file))
        .collect();
    let modules =
        Config::new().bytes(["."]).enable_type_names().skip_debug(REDACTED).generate(requests)?;
    files.extend(
        modules.into_iter().map(|(module, code)| (module.to_file_name_or("_"), code.into_bytes())),
    );
    Ok(files)
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

/// The schema without comments and positions, which change more often than it does.
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
        let files = files(&committed_protos()).unwrap();
        assert_eq!(crate::sync::differences(&generated, &files).unwrap(), []);
    }
}
