//! Why a call brought no answer that can be used: what Azure said, or that nothing was sent, or that nobody knows.

use dispatch_model::Time;

use crate::atlas::{self, Fault, Verdict};

/// A failed call.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Failure {
    /// Azure refused it, with this HTTP status; 0: an operation that was accepted failed.
    Said { status: u16, fault: Fault },
    /// Calls of this kind were too fast: none before then.
    Held(Time),
    /// It was certainly not carried out.
    NotSent(String),
    /// It was sent, and nobody knows whether it was carried out.
    Unknown(String),
}

impl Failure {
    /// From an answer that is no success.
    pub(crate) fn said(status: u16, fault: Fault) -> Failure {
        // Not Azure's words: something between us and it gave up, perhaps after it had passed the request on.
        if matches!(status, 408 | 504) || (status >= 500 && fault.code().is_empty()) {
            let words = fault.message();
            let words: String = words.chars().take(200).collect();
            return Failure::Unknown(format!("HTTP status {status}: {words}"));
        }
        Failure::Said { status, fault }
    }

    /// What Azure's refusal means; `None` if it refused nothing.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        match self {
            Failure::Said { status, fault } => Some(atlas::judge(fault, *status)),
            Failure::Held(_) | Failure::NotSent(_) | Failure::Unknown(_) => None,
        }
    }

    /// Whether there is no such thing.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Failure::Said { status: 404, .. })
    }

    /// Whether this code is among what Azure said.
    pub(crate) fn has(&self, code: &str) -> bool {
        matches!(self, Failure::Said { fault, .. } if fault.has(code))
    }
}
