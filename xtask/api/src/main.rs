//! Prints the public API of a crate; wants a file of rustdoc's JSON as argument.
//!
//! A crate of its own, so that `cargo xtask` does not have to compile its dependencies.
#![forbid(unsafe_code)]

use public_api::Builder;
use std::collections::BTreeSet;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("usage: etcd3-api-list FILE.json")?;
    // Blanket and automatic impls exist for every type.
    let builder = || Builder::from_rustdoc_json(&file).omit_blanket_impls(true);
    let all = builder().omit_auto_trait_impls(true).build()?.to_string();
    let written = builder().omit_auto_trait_impls(true).omit_auto_derived_impls(true).build()?;
    print!("{}", readable(&all, &written.to_string()));
    Ok(())
}

/// Drops the methods of derived impls, which are those of the trait, and keeps the first lines.
fn readable(all: &str, written: &str) -> String {
    let written: BTreeSet<&str> = written.lines().collect();
    let is_kept = |line: &&str| {
        let is_derived = line.starts_with("impl") && !line.contains("StructuralPartialEq");
        is_derived || written.contains(line)
    };
    all.lines().filter(is_kept).flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_is_derived_the_first_line_is_kept() {
        let written = "pub struct a::A\nimpl a::A\npub fn a::A::b()\n";
        let derived = "impl core::clone::Clone for a::A\npub fn a::A::clone(&self) -> a::A\n\
            impl core::marker::StructuralPartialEq for a::A\n";
        let list = readable(&format!("{written}{derived}"), written);
        assert_eq!(list, format!("{written}impl core::clone::Clone for a::A\n"));
    }
}
