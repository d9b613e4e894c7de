//! Fuzzes `sambad_client::testing::parsers::event_stream`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sambad_client::testing::parsers::event_stream(bytes));
