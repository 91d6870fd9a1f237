//! Scheduler, worker pool and container queue joined: inputs in; commands, facts and a deadline out.
//!
//! The brain decides and nothing else. It knows no clock, no network and no luck of its own: `now` is an argument, the
//! seed of its secrets is given to it once, and the same inputs give the same commands. One task owns it. That task
//! hands it everything that has happened ([`Brain::take`]), lets it think once ([`Brain::step`]), obeys the commands,
//! and comes back when something has happened or [`Brain::deadline`] has come.
//!
//! | decides | where |
//! |---|---|
//! | which container starts where, what is created | `dispatch_scheduler::plan` |
//! | what to do where queue and pool disagree | `dispatch_scheduler::reconcile` |
//! | the fate of each instance | `dispatch_worker::Pool` |
//! | what to ask the API, and what a container needs | `dispatch_container_queue::View` |
//! | when to plan, and what becomes of a plan | here, `planning` |
//! | how many containers may run at once | here, `limits` |
//! | whether a command may leave at all | here, `guard` |

mod brain;
mod fact;
mod guard;
mod input;
mod limits;
mod planning;
mod secrets;
mod snapshot;

pub use brain::{Brain, Settings, Step};
pub use fact::{BrainNews, Fact};
pub use input::{Command, Input, NotFound, Wish};
pub use limits::SupervisorShare;
pub use snapshot::{ContainerView, Snapshot};
