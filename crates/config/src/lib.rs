//! Loads and checks the cluster configuration.
