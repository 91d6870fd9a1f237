//! The shell: owns the brain, hands it everything that happens, and obeys its commands.
//!
//! Nothing is decided here. `shell` is one loop; `hands` turns each command into one call with a deadline, whose answer
//! is exactly one input; `settings` and [`RunnerBinary`] prepare those calls; `backend`, `facts` and `health` show what
//! goes on. [`run`] puts it all together.

mod api_calls;
mod attached;
mod backend;
mod clock;
mod cloud_calls;
mod daemon;
mod exit_watch;
mod facts;
mod hands;
mod health;
mod instance_calls;
mod masking;
mod prices;
mod render;
mod runner_binary;
mod settings;
mod shell;
mod supervise;

pub use daemon::{Environment, Start, StartError, run};
pub use runner_binary::{RunnerBinary, RunnerBinaryError};
