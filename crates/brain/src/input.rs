//! What goes into the brain, and the commands that come out.

use dispatch_container_queue as queue;
use dispatch_model::{ContainerId, IdleBehavior, InstanceId};
use dispatch_worker as pool;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The API answered a request. (The planner's wishes are the brain's own; they never come from outside.)
    Queue(queue::Event),
    /// The cloud or an instance answered, or something was noticed on an instance.
    Pool(pool::Event),
    /// The API answered some request with 503.
    ApiOverloaded,
    /// The daemon is about to stop: begin nothing any more.
    Stop,
}

/// What an operator may wish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    /// Hold, drain or run.
    SetIdleBehavior {
        /// Which instance.
        instance: InstanceId,
        /// What is wanted of it.
        behavior: IdleBehavior,
    },
    /// Destroy an instance at once.
    KillInstance {
        /// Which instance.
        instance: InstanceId,
        /// Why.
        reason: String,
    },
    /// End a container's runner.
    KillContainer {
        /// Which container.
        container: ContainerId,
        /// Why.
        reason: String,
    },
}

/// The instance or container of a wish is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotFound;

/// Something to do. Each is answered by exactly one input, except those of the pool that say otherwise.
#[derive(Clone, Debug)]
pub enum Command {
    /// A call to the API.
    Api(queue::Request),
    /// A call to the cloud or to an instance.
    Pool(pool::Action),
}
