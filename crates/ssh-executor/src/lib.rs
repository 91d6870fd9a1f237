//! Runs commands on instances over SSH.
//!
//! One multiplexed connection per instance, kept open, driven by one task; no thread per instance. Nothing but the
//! verification itself is executed before the host has shown that it is the instance. The crate knows nothing about
//! containers, runners or clouds: it implements the contract in `dispatch_cloud::exec`, and nothing else uses libssh2.
//!
//! How it is built, from the caller down:
//! - [`SshExecutor`] holds what all instances share: settings, key, verification, the limit on handshakes.
//! - `connection` is the handle of one instance; `link` finds or makes its live connection.
//! - `dial` makes one: TCP, banner, handshake, login, verification. `call` uses one and gives up in time.
//! - `actor` owns a live one with all its channels; `op` is the life of one channel.

mod actor;
mod address;
mod call;
mod connection;
mod dial;
mod executor;
mod fault;
mod job;
mod key;
mod lines;
mod link;
mod op;
mod pause;
mod pulse;
mod settings;
mod sink;
mod socket;
mod verify;

pub use executor::SshExecutor;
pub use key::{KeyError, PrivateKey};
pub use settings::{PortError, Settings, port};
pub use verify::{HostKey, UnverifiedHost, VerifyHost, secret_command};
