//! The Arvados HTTP API.
