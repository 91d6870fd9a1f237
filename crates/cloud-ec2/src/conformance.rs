//! The driver against two clouds that nobody can confuse with it: the lab's EC2 API, for faults, and moto, for
//! fidelity. `checks` has every check by name, and what it is there for; `suite` and `moto` run them.

mod boto3;
mod calls;
mod checks;
mod doubt;
mod ends;
mod environment;
mod faults;
mod line;
mod log;
mod moto;
mod mutated;
mod omitted;
mod on_moto;
mod policy;
mod sent;
mod stage;
mod storm;
mod suite;
mod told;
mod transcript;

pub(crate) use sent::Recorder;
