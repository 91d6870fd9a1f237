//! Feeds everything that parses what others wrote with inputs that are wrong: the kept ones of `corpus/`, and mutations of
//! them that follow from a seed.
//!
//! It does not see which code an input reaches, so it finds less in the same time than a fuzzer that does; in return it
//! needs nothing but the stable compiler, and the same seed gives the same inputs. What it finds goes into the corpus and
//! is tried first from then on. `cargo xtask fuzz` runs it for long, the tests for a short time.

mod answers;
pub mod corpus;
pub mod mutate;
pub mod run;
pub mod targets;
