//! A driver for the lab's cloud.
