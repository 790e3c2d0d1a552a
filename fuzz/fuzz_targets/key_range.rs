//! The target `key_range`, for libFuzzer.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| etcd3_fuzz::key_range(data));
