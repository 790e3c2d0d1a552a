//! The target `call`, for libFuzzer.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| etcd3_fuzz::call(data));
