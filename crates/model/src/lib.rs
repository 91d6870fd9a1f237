//! The dispatcher's vocabulary: the things every other crate speaks of.
//!
//! Values only. Nothing here waits, reads a clock, opens a socket or knows Arvados' HTTP; ids are opaque text, so
//! that somebody who embeds the scheduler needs this crate and `dispatch-scheduler` alone.

mod cloud_error;
mod container;
mod gpu;
mod id;
mod instance_type;
mod pool;
mod port;
mod price;
mod queue;
mod resources;
mod time;
pub mod units;
mod user_name;

pub use cloud_error::{CapacityScope, CloudErrorClass, EndCause, RefusalScope};
pub use container::ContainerState;
pub use gpu::{Gpu, GpuNeeds};
pub use id::{ContainerId, InstanceId, InstanceSecret, InstanceTypeName, WorkerId};
pub use instance_type::{InstanceType, VmImage};
pub use pool::{
    Hold, HoldCause, IdleBehavior, PoolSnapshot, RunnerReport, RunnerState, RunnerView,
    WorkerState, WorkerView,
};
pub use port::tcp_port;
pub use price::PricePoint;
pub use queue::{QueueEntry, QueueSnapshot, Sizing};
pub use resources::Resources;
pub use time::{Now, Time};
pub use user_name::UserName;
