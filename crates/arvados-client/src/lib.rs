//! The Arvados HTTP API, as far as a dispatcher calls it (facts §2.1).
//!
//! Thin on purpose: it encodes, sends, pages, bounds and classifies, and hands the rows on as raw JSON. It knows nothing
//! of scheduling, repeats nothing by itself (facts M8), and never puts a token into a log, an error or a debug output.
//! Every call has a deadline, which bounds its wait in the limiter too.

mod calls;
mod encode;
mod error;
mod gate;
mod limiter;
mod poll;
mod settings;
mod tls;
mod transport;

pub use calls::Client;
pub use error::{ApiError, SetupError};
pub use limiter::{Limiter, Outcome, Turn};
pub use poll::{PollAnswer, PollDeadline};
pub use settings::{CaRoots, ClientSettings, Token};

#[cfg(test)]
mod tests;
