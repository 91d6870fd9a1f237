//! The lock in PostgreSQL that keeps a second dispatcher waiting (facts §2.7, M6, M7, K8).
//!
//! All kinds of Arvados dispatchers take the same session-level advisory lock before they act. [`Machine`] decides when
//! to try, when to ask whether it is still held, and what may be done meanwhile; [`Keeper`] does so against a database
//! named by [`Settings`], and tells its [`Standing`]. A [`Term`] is one uninterrupted time of holding it: whatever
//! changes the world belongs to a term, and ends with it.

mod clocks;
mod connect;
mod deadman;
mod holder;
mod keeper;
mod machine;
mod session;
mod settings;
mod term;
mod tls;

pub use holder::Holder;
pub use keeper::{Keeper, Standing};
pub use machine::{Due, Machine, Stage, Timing};
pub use settings::{Settings, SettingsError};
pub use term::Term;
