//! The executor against real OpenSSH servers on loopback addresses.

mod channels;
mod commands;
mod failures;
mod fleet;
mod hosts;
mod lifetime;
mod sudo;
mod support;
mod traffic;
