//! A driver for Microsoft Azure (docs/azure.md). What it decides (what an error means, what to ask next, what is
//! garbage) is pure; what it calls goes over HTTP to the resource manager.

#![cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "what is decided is used by what calls, which follows"
    )
)]

// What is decided.
mod atlas;
mod coalesce;
mod creation;
mod garbage;
mod lro;
mod names;
mod parameters;
mod places;
mod quota;
mod retry_after;
mod watch;
