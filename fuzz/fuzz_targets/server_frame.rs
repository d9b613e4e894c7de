//! Fuzzes `sambad_client::testing::parsers::server_frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sambad_client::testing::parsers::server_frame(bytes));
