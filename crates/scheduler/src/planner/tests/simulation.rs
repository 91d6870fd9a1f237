//! What holds over many plans.
