//! A driver for Microsoft Azure (docs/azure.md). What it decides (what an error means, what to ask next, what is
//! garbage) is pure; what it calls goes over HTTP to the resource manager, as azure_mgmt_compute puts it together.
#![cfg_attr(
    not(feature = "sdk"),
    expect(dead_code, reason = "what is decided is used by what calls")
)]

// What is decided.
mod atlas;
mod coalesce;
mod creation;
mod endpoints;
mod garbage;
mod lro;
mod masks;
mod memory;
mod names;
mod pace;
mod parameters;
mod places;
mod retry_after;
mod stillborn;
mod watch;

// What is decided, with the models of azure_mgmt_compute.
#[cfg(feature = "sdk")]
mod body;
#[cfg(feature = "sdk")]
mod quota;
#[cfg(feature = "sdk")]
mod rows;

// What is called.
#[cfg(feature = "sdk")]
mod account;
#[cfg(feature = "sdk")]
mod action;
#[cfg(feature = "sdk")]
mod calls;
#[cfg(feature = "sdk")]
mod change;
#[cfg(feature = "sdk")]
mod collect;
#[cfg(feature = "sdk")]
mod compute;
#[cfg(feature = "sdk")]
mod create;
#[cfg(feature = "sdk")]
mod driver;
#[cfg(feature = "sdk")]
mod failed;
#[cfg(feature = "sdk")]
mod failure;
#[cfg(feature = "sdk")]
mod follow;
#[cfg(feature = "sdk")]
mod list;
#[cfg(feature = "sdk")]
mod omitted;
#[cfg(feature = "sdk")]
mod silent;
#[cfg(feature = "sdk")]
mod token;

#[cfg(feature = "sdk")]
pub use driver::AzureDriver;

#[cfg(all(test, feature = "cloud-tests"))]
mod conformance;
#[cfg(all(test, feature = "cloud-tests"))]
mod mutants;
