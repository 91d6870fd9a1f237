//! Decides the fate of each instance.
