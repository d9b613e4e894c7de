//! Fuzzes `sambad_server::testing::parsers::body`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sambad_server::testing::parsers::body(bytes));
