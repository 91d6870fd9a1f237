//! Decides what to lock, start, create and shut down.
