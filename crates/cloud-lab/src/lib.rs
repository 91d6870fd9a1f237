//! A driver for the lab's cloud, over plain HTTP and JSON (docs/reference/lab-cloud-api.md): the smallest example of a
//! driver. It translates calls and classifies errors; it decides nothing and keeps nothing.

mod answer;
mod calls;
mod driver;
mod parameters;

pub use driver::LabDriver;

#[cfg(test)]
mod conformance;
