//! The management API, metrics and health over HTTP (facts §2.6).
//!
//! This crate knows requests, tokens, limits and the shape of answers. What an answer says and how a wish is carried
//! out is behind [`Backend`], which the dispatcher implements; the admin's tool reads the same [`wire`] types.

mod answer;
mod auth;
mod backend;
mod limiter;
mod parameters;
mod router;
mod server;
mod tls;
pub mod wire;

pub use auth::Token;
pub use backend::{Backend, NotFound, RequestRecord};
pub use limiter::Load;
pub use server::{Listen, Server, ServerError, Settings};
pub use tls::{Tls, TlsError};
