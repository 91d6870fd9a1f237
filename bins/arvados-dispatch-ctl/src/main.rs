//! The dispatcher's admin tool.

fn main() {}
