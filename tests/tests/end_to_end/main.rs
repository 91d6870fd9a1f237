//! The programs as processes of their own against the lab in this process: what an operator would see, end to end.
//!
//! Each test starts its own lab and its own daemon. Nothing sleeps: `eventually` looks until it sees.

mod support;

mod adversity;
mod demo;
mod deployment;
mod dispatch_lock;
mod exit_codes;
mod health;
mod images_and_users;
mod loopback;
mod real_machines;
mod recordings;
mod restarts;
mod secrets;
mod service;
mod takeover;
mod tls;
