//! The executor against real OpenSSH servers on loopback addresses.

mod channels;
mod commands;
mod failures;
mod hosts;
mod lifetime;
mod support;
mod traffic;
