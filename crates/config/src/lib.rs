//! Loads and checks the cluster configuration (facts §3).
//!
//! An unchanged `config.yml` of Arvados, or the same keys in TOML, goes in. Out comes [`Loaded`]: a typed
//! [`ClusterConfig`] for the dispatcher and the whole merged configuration as JSON for the runners, or every problem
//! that the file has, each with its place and its remedy.
//!
//! This crate reads files that are named to it and files that the configuration names. It reads no environment, no
//! clock and no network, and it knows no cloud: drivers check their own parameters.

mod address;
mod build;
mod checks;
mod cluster;
mod convert;
mod defaults;
mod document;
mod dump;
pub mod duration;
mod host;
mod images;
mod instance_types;
mod keys;
mod load;
mod mask;
mod merge;
mod nearest;
mod path;
pub mod private_key;
mod problem;
mod reader;
mod reference;
mod report;
mod schema;
mod secret;
pub mod size;
mod source;

pub use address::{Address, AddressError};
pub use build::instance_set_id;
pub use cluster::{
    Api, CloudVms, ClusterConfig, Containers, ListenCandidate, LogFormat, LogLevel, PostgreSql,
    SpotFallback, SystemLogs, Tls,
};
pub use dump::dump;
pub use host::HostFacts;
pub use load::{Context, Loaded, ManagementAccess, check, check_with, load, management_access};
pub use problem::{Problem, Severity};
pub use reference::key_tables;
pub use secret::{MASK, Secret};
pub use source::{DEFAULT_PATH, Format, Source, config_path};
