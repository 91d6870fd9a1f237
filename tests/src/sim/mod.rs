//! The production brain in the lab's world: one thread, virtual time, one seed; the same seed gives the same trace.
//!
//! The lab's world knows nothing of the dispatcher, and the brain nothing of the world. Between them stands what the
//! shell is in service: [`Sim`] hands each command of the brain to a call in virtual time (`tasks`), which asks the
//! world as the shell asks the network, with the shell's own command lines and documents, and comes back as exactly one
//! input, or late, or after its deadline.
//!
//! After each step the world is judged, not what the brain believes (`checks`). The brain itself runs in strict mode:
//! a command that would break an invariant panics.

mod api;
mod checks;
mod cloud;
mod gate;
mod machine_calls;
mod machines;
mod news;
mod runs;
mod setup;
mod stage;
mod tasks;
mod trace;
mod watch;
mod wires;

pub mod chaos;
pub mod weather;

pub use checks::Bounds;
pub use runs::{Outcome, replay, run_seeds};
pub use setup::{Setup, Wire};
pub use stage::Sim;
