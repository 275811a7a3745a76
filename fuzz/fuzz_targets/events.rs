#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kvtrace_fuzz::events(data));
