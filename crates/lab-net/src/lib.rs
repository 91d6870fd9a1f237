//! The simulated cluster behind real network services.
