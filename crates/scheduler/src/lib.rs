//! Decides what to lock, start, create and shut down, and sets right what queue and pool disagree about.
//!
//! Two pure functions. [`plan`] looks at the container queue and at the worker pool and says what to do next and why
//! everything that waits does wait. [`reconcile`] looks at the same two and says where they contradict each other:
//! runners that nobody wants, containers whose runner is gone, locks that nobody uses. The same input gives the same
//! answer; neither function knows a clock, a network, a runtime or Arvados, so a render farm can use them as well as
//! an Arvados cluster does (see `examples/render_farm.rs`).
//!
//! Whoever embeds them keeps the two snapshots (`dispatch_model`), calls both functions whenever one of them has
//! changed or [`Plan::again_at`] has come, and does what they say. Nothing is remembered between two calls, so a
//! restart loses nothing; [`Recovery`] tells what is not known yet after one.
//!
//! ```
//! use std::{collections::BTreeMap, sync::Arc};
//! use dispatch_model::{
//!     ContainerState, Gpu, InstanceType, Now, PoolSnapshot, QueueEntry, QueueSnapshot, Resources, Sizing, Time,
//! };
//! use dispatch_scheduler::{Limits, Recovery, Wait, plan};
//!
//! let now = Now { time: Time::from_secs(5), wall: jiff::Timestamp::UNIX_EPOCH };
//! let needs = Resources { vcpus: 2, ram_bytes: 4 << 30, ..Resources::default() };
//! let job = QueueEntry {
//!     id: "frame-0001".into(),
//!     state: ContainerState::Locked,
//!     priority: 10,
//!     created_at: None,
//!     first_seen: Time::from_secs(1),
//!     first_seen_wall: now.wall,
//!     supervisor: false,
//!     sizing: Arc::new(Sizing { needs, types: vec!["small".into()] }),
//!     needs_known: true,
//!     locked_here: true,
//!     busy: false,
//!     as_of: Time::from_secs(4),
//! };
//! let small = InstanceType {
//!     name: "small".into(),
//!     provider_type: "small".into(),
//!     image: None,
//!     vcpus: 4,
//!     ram_bytes: 8 << 30,
//!     included_scratch_bytes: 0,
//!     added_scratch_bytes: 0,
//!     price: 0.1,
//!     preemptible: false,
//!     gpu: Gpu::default(),
//! };
//! let queue = QueueSnapshot {
//!     listed_at: Some(Time::from_secs(4)),
//!     entries: BTreeMap::from([(job.id.clone(), Arc::new(job))]),
//!     ..QueueSnapshot::default()
//! };
//! let types = BTreeMap::from([(small.name.clone(), Arc::new(small))]);
//! let pool = PoolSnapshot { surveyed: true, ..PoolSnapshot::default() };
//!
//! let plan = plan(&queue, &pool, &types, &Limits::none(), &Recovery::nothing(), now);
//! assert_eq!(plan.create[0].instance_type.as_str(), "small");
//! assert!(matches!(plan.waits["frame-0001"], Wait::Boot { .. }));
//! ```

mod limits;
mod plan;
mod planner;
mod reconcile;
mod recovery;
#[cfg(test)]
mod testing;
mod wait;

pub use limits::Limits;
pub use plan::{Create, Figures, Plan, UnlockReason};
pub use planner::{InstanceTypes, plan};
pub use reconcile::{CancelReason, KillReason, Repair, Repairs, reconcile};
pub use recovery::Recovery;
pub use wait::{TypeHeld, Wait};
