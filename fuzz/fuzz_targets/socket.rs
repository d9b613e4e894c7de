//! Fuzzes `sambad_server::testing::parsers::socket`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sambad_server::testing::parsers::socket(bytes));
