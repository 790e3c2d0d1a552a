//! The target `config_text`, for libFuzzer.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| etcd3_fuzz::config_text(data));
