#![doc = include_str!("../README.md")]

mod given;
mod names;
mod value;

pub use given::{Entry, Given, Loaded, load, notes};
pub use names::{CLIENTS, SERVER, nearest};
pub use value::{Refused, clean};
