//! The dashboard in headless Chromium, as people see it: against real servers, through WebDriver.
//!
//! Apart from `it`, since these tests need Chromium and its driver. Whatever a test looks at, it also fails on an error on the
//! console, a violation of the page's policy, and a request to any other origin (`noise`).
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails where what it needs is missing, in helpers as well")]

#[path = "../it/harness/mod.rs"]
#[expect(dead_code, reason = "what the other tests of this crate need of it")]
mod harness;

mod accessible;
mod browser;
mod closes;
mod database;
mod docs;
mod elsewhere;
mod feed;
mod flood;
mod hostile;
mod keyboard;
mod live;
mod login;
mod missed;
mod noise;
mod page;
mod people;
mod processor;
mod restart;
mod screenshots;
mod sessions;
mod user_page;
