//! The recipes use what the crate exports and nothing else: here they are part of another crate,
//! which has no more of it than any program.
#![allow(
    clippy::wrong_self_convention,
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "what is exported there is private here, and a program does not use all of it"
)]

pub use etcd3::*;

#[path = "../src/recipes/mod.rs"]
mod of_a_program;

#[test]
fn a_program_could_have_written_the_recipes() {
    let lost = LeaseLost::new(LossReason::Revoked);
    let theirs = of_a_program::RecipeError::from(lost.clone());
    assert_eq!(theirs.to_string(), recipes::RecipeError::from(lost).to_string());
}
