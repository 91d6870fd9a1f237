//! Tests of the workspace as a whole: the dispatcher's brain in a simulated world, and the programs as processes.

pub mod postgres;
pub mod sim;
