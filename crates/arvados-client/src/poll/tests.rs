//! Polls against a small API.
