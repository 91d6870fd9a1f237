//! Serves the lab; shows the dispatcher at work on it.

fn main() {}
