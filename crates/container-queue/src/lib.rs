//! The dispatcher's view of the API's containers: what they are, what they need, and what to ask the API next.
//!
//! [`View`] is a pure state machine. Events go in (the planner's wishes, the API's answers, time), requests and facts
//! come out, and [`View::deadline`] says when to come back if nothing else happens. Every request is answered by
//! exactly one event. The view decodes what the API says row by row, so that one bad row concerns that row only
//! (facts K12), chooses the instance types that can run each container, and cancels what can never run, with a
//! reason that a user understands.
//!
//! It knows nothing of instances, of HTTP and of clocks, and it starts nothing: that is the planner's business.

mod choice;
mod details;
mod events;
mod gpu;
mod reason;
mod row;
mod settings;
mod sizing;
mod view;

pub use details::Details;
pub use events::{
    ApiFailure, Deed, Effects, Event, Fact, FailureKind, Json, Leaving, PollRows, Request, json,
};
pub use row::{Constraints, Parameters};
pub use settings::{Settings, SizingSettings};
pub use view::View;
