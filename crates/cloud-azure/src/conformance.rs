//! The driver against a local fake of the Azure Resource Manager that nobody can confuse with it: the lab's, written
//! from the public REST documentation and judged by Microsoft's own Python packages. Each pitfall of facts A1–A11 and
//! K27 names its check.

mod checks;
mod creates;
mod doubts;
mod ends;
mod failures;
mod garbage;
mod gate;
mod kills;
mod lists;
mod mutated;
mod omitted;
#[cfg(feature = "microsoft-clients")]
mod python;
mod refusals;
mod role;
mod stage;
mod storm;
mod suite;
mod tokens;
