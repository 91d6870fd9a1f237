//! The driver against two clouds that nobody can confuse with it: the lab's EC2 API, for faults, and moto, for
//! fidelity. Each pitfall of facts E1–E23, K28 and K34 names its check.

mod boto3;
mod calls;
mod faults;
mod moto;
mod mutated;
mod policy;
mod stage;
mod storm;
mod suite;
mod transcript;
