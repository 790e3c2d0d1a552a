//! The target `auth_machine`, for libFuzzer.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| etcd3_fuzz::auth_machine(data));
