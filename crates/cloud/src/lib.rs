//! The contract of cloud drivers, and the wrappers that every driver gets.
//!
//! A driver crate depends on this crate and on `dispatch-model` alone. It translates calls and classifies errors; it
//! does not decide. Whatever must survive a crash of the daemon is written on the instance as tags.

mod clock;
mod driver;
mod error;
pub mod exec;
mod gate;
mod limiter;
mod wrap;

pub use clock::Clock;
pub use driver::{
    CreateOrder, Driver, DriverContext, EndCause, Ended, Instance, InstanceSet, Tags,
};
pub use error::CloudError;
pub use gate::Gate;
pub use wrap::{Observer, Operation, WrapSettings, Wrapped};
