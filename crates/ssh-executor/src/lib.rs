//! Runs commands on instances over SSH.
