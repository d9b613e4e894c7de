//! Fuzzes `sambad_server::testing::parsers::phone`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sambad_server::testing::parsers::phone(bytes));
