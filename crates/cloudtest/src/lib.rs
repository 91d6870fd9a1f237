//! Tries out a cloud account as the dispatcher will use it (facts §1.11): makes one instance, sees that it is listed
//! with its tags, boots and can be logged in to, runs a command there, and destroys it again.
//!
//! It knows drivers and executors by their contract alone, so every cloud gets the same test. Whatever fails, and
//! whenever, what was made is destroyed as far as the cloud allows, and the test ends in time (facts K30).

mod clean_up;
mod report;
mod settings;
mod trial;

pub use report::{Audience, Report, Step, Verdict};
pub use settings::{Settings, Timing};
pub use trial::run;

#[cfg(test)]
mod tests;
