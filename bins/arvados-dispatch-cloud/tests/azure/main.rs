//! The daemon with `Driver: azure`, as a process of its own, on the lab's Azure API, whose VMs have SSH servers and
//! whose calls go wrong on demand. Nothing sleeps: `eventually` looks until it sees.

#[path = "../common/mod.rs"]
mod common;
mod support;

mod deaths;
mod dispatch;
mod lives;
mod role;
mod spot;
