//! The management API, metrics and health over HTTP.
