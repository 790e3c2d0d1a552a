//! The target `watch_vs_model`, for libFuzzer.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| etcd3_fuzz::watch_vs_model(data));
