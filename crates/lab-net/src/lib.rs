//! The simulated cluster of `dispatch-lab` behind real network services, in real time, on loopback addresses: an
//! Arvados API, the lab's cloud, an SSH server per virtual machine, and a control API for demos, benches and tests.
//!
//! It carries requests to the world and answers back, after the time that the world says. It decides nothing, and
//! knows nothing of the dispatcher.

mod azure;
mod clock;
mod cluster_config;
mod control;
mod ec2;
mod faces;
mod fleet;
mod gate;
mod http;
mod keys;
mod lab;
mod overheard;
mod ports;
mod ssh;
mod sshd;
mod tls;

pub use azure::{AzureApi, AzureBad, AzureCreation, AzureInjection, AzureRequest, AzureSettings};
pub use cluster_config::ClusterConfig;
pub use dispatch_lab as world;
pub use ec2::{Bad, Ec2Api, Ec2Settings, Injection, Subnet, Volume, actions_of_policy};
pub use lab::{Lab, LabHandle, Scheme, VmKind};
pub use overheard::{Heard, HeardRequest};
pub use ports::{free_address, free_port};
