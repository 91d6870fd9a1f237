//! A whole simulated cluster in memory: an Arvados API, a cloud, and virtual machines with runners on them.
//!
//! Pure: no runtime, no clock, no entropy. Every call says what time it is; what happens later is on the world's own
//! agenda (`World::next_event_at`, `World::advance`); answers say after how long they arrive, and whoever carries them
//! (a simulation in virtual time, or `dispatch-lab-net` in real time) delays them. One seed decides everything: the
//! same calls at the same times under the same seed give the same world.
//!
//! It deliberately knows nothing of the dispatcher: not even its vocabulary. Command lines, documents and scripts are
//! read by the facts alone, so that a mistake on either side shows.

pub mod api;
pub mod cloud;
pub mod faults;
pub mod judge;
pub mod load;
pub mod luck;
pub mod settings;
pub mod time;
pub mod vm;
pub mod world;

pub use settings::Settings;
pub use time::{Now, Span, When};
pub use world::World;
