//! The protocol of crunch-run.
