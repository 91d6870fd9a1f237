//! A whole simulated cluster in memory.
