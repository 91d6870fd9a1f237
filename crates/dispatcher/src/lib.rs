//! The shell: owns the brain, hands it everything that happens, and obeys its commands.
//!
//! Nothing is decided here. `shell` is one loop; `hands` turns each command into one call with a deadline, whose answer
//! is exactly one input; `settings` and [`RunnerBinary`] prepare those calls; `backend`, `facts` and `health` show what
//! goes on. `assembly` puts that together for one term of command, `command` runs term after term while the lock that
//! dispatchers share is held, and [`run`] starts all.

mod api_calls;
mod as_user;
mod assembly;
mod attached;
mod backend;
mod clock;
mod cloud_calls;
mod command;
mod daemon;
mod exit_watch;
mod facts;
mod former;
mod hands;
mod health;
mod host_check;
mod instance_calls;
mod listening;
mod masking;
mod prices;
mod render;
mod runner_binary;
mod settings;
mod shell;
mod supervise;
#[cfg(test)]
mod test_pool;

pub use daemon::{Environment, Start, StartError, run};
pub use host_check::check_here;
pub use runner_binary::{RunnerBinary, RunnerBinaryError};
pub use settings::problems_of_use;
