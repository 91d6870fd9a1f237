//! A driver for Amazon EC2 (docs/ec2.md). What it decides (what an error means, which subnet is next, how fast to call)
//! is pure; what it calls goes through AWS's own SDK, whose repeats are off.
#![cfg_attr(
    not(feature = "sdk"),
    expect(
        dead_code,
        unused_imports,
        reason = "what is decided is used by what calls"
    )
)]

// What is decided.
mod atlas;
mod fingerprint;
mod launch;
mod memory;
mod pace;
mod parameters;
mod places;
mod prices;
mod quota_group;
mod tags;
mod volumes;

// What is called.
#[cfg(feature = "sdk")]
mod account;
#[cfg(feature = "sdk")]
mod create;
#[cfg(feature = "sdk")]
mod describe;
#[cfg(feature = "sdk")]
mod driver;
#[cfg(feature = "sdk")]
mod ends;
#[cfg(feature = "sdk")]
mod failure;
#[cfg(feature = "sdk")]
mod http;
#[cfg(feature = "sdk")]
mod left_behind;
#[cfg(feature = "sdk")]
mod omitted;
#[cfg(feature = "sdk")]
mod other_calls;
#[cfg(feature = "sdk")]
mod price_calls;
#[cfg(feature = "sdk")]
mod request;
#[cfg(feature = "sdk")]
mod whole;

#[cfg(feature = "sdk")]
pub use driver::Ec2Driver;

#[cfg(all(test, feature = "cloud-tests"))]
mod conformance;
#[cfg(all(test, feature = "cloud-tests"))]
mod mutants;
