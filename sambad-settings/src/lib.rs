#![doc = include_str!("../README.md")]

mod given;
mod names;
mod typed;
mod value;

pub use given::{Entry, Exceptions, Given, Loaded, load, notes};
pub use names::{CLIENTS, SERVER, nearest};
pub use value::{Refused, clean};
