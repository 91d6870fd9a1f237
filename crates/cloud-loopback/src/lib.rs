//! A driver that runs containers on this host: one instance, whose commands are processes of this host, without SSH
//! (facts §1.8). For trying Arvados out, and for clusters of one machine.
//!
//! The instance survives a restart of the dispatcher: what is known of it lies in a small file under `/run`, which
//! goes, as the processes do, when the host restarts. Destroying it ends what was started on it: the runners are told
//! to stop, and killed if they are still there when the destroy is repeated; until they are gone it stays listed and
//! keeps its place.

mod connection;
mod driver;
mod lines;
mod processes;
mod session;
mod set;
mod slot;
mod user;

pub use driver::LoopbackDriver;

#[cfg(test)]
mod tests;
