//! A driver for Microsoft Azure (docs/azure.md). What it decides (what an error means, what to ask next, what is
//! garbage) is pure; what it calls goes over HTTP to the resource manager.

// What is decided.
mod atlas;
mod body;
mod coalesce;
mod creation;
mod endpoints;
mod failure;
mod garbage;
mod lro;
mod memory;
mod names;
mod pace;
mod parameters;
mod places;
mod quota;
mod retry_after;
mod rows;
mod watch;

// What is called.
mod account;
mod calls;
mod change;
mod collect;
mod create;
mod driver;
mod list;
mod token;

pub use driver::AzureDriver;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod mutants;
