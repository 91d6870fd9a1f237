//! Runs an Arvados cluster's containers on cloud VMs.

fn main() {}
