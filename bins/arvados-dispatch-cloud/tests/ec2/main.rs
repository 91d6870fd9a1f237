//! The daemon with `Driver: ec2`, as a process of its own, on two stand-ins for EC2: the lab's, whose instances have
//! SSH servers and whose calls go wrong on demand, and moto, which nobody here wrote.
//!
//! Each test starts its own. Nothing sleeps: `eventually` looks until it sees.

#[path = "../common/mod.rs"]
mod common;
mod support;

mod adversity;
mod dispatch;
mod door;
mod lives;
mod moto;
mod spot;
