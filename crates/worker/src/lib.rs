//! Decides the fate of each instance.
//!
//! A `Worker` is our view of one instance: what it runs, whether it answers, when it must go. The [`Pool`]
//! holds them all, together with what keeps new ones from being created. Events go in, actions and facts come out;
//! this crate knows no cloud, no SSH, no clock and no runtime, and `now` is always the last argument.
//!
//! Where to start reading: [`Pool::handle`], then `worker.rs`, which opens with a drawing of an instance's life.

mod action;
mod event;
mod fact;
mod settings;

mod pool;

mod creates;
mod fallback;
mod holds;
mod line;
mod lists;
mod lost;
mod survey;
mod wide;

mod worker;

mod ending;
mod killing;
mod probation;
mod probing;
mod runners;
mod starts;
mod tagging;
mod watching;

mod desk;
mod gpus;
mod pace;
mod tags;
mod view;

pub use action::{Action, CallId, Effects, ListWhen, ProbeOrder, SignalKind};
pub use event::{
    Event, Failure, InstanceEnd, ListedInstance, ProbeFailure, ProbeReport, ProbeStep,
    SignalOutcome,
};
pub use fact::{About, BootOutcome, Fact, HowEnded, PoolNews, WorkerNews};
pub use pool::Pool;
pub use settings::{Settings, SpotFallback, Timing};

#[cfg(test)]
mod tests;
