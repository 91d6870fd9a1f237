//! What all tests share.

mod daemon;
mod management;
mod programs;
mod rig;
mod wait;

pub(crate) use daemon::{Daemon, Launch};
pub(crate) use management::{Answer, Management};
pub(crate) use programs::{Ran, daemon_program, lab_program, run_ctl, stand_in_runner};
pub(crate) use rig::{Rig, container};
pub(crate) use wait::{PATIENCE, eventually, holds};
