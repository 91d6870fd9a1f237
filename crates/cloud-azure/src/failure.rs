//! Why a call brought no answer that can be used: what Azure said, or that nothing was sent, or that nobody knows.

use dispatch_model::Time;

use crate::atlas::{self, Fault, Kind, Reach, Verdict};

/// What the resource manager and the providers behind it say of a thing that is not there. All other answers with the
/// status 404 say something else: a proxy's page, a wrong subscription (SubscriptionNotFound), a resource group that is
/// not there (ResourceGroupNotFound, which a mistyped configuration brings as well as a group that was deleted, and a
/// VM that is taken for gone by mistake goes on costing money), a provider that is not registered.
const ABSENT: [&str; 2] = ["ResourceNotFound", "NotFound"];

/// A failed call.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Failure {
    /// Azure refused it, with this HTTP status; 0: an operation that was accepted failed.
    Said { status: u16, fault: Fault },
    /// There was no token for it, so it was not sent: what the authority or the metadata service answered. It says
    /// nothing about what the call was about.
    NoToken { status: u16, fault: Fault },
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

    /// What a refusal means; `None` if nobody refused anything.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        match self {
            Failure::Said { status, fault } => Some(atlas::judge(fault, *status)),
            Failure::NoToken { status, fault } => Some(no_token(*status, fault)),
            Failure::Held(_) | Failure::NotSent(_) | Failure::Unknown(_) => None,
        }
    }

    /// Whether Azure itself says that there is no such thing.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Failure::Said { status: 404, fault }
            if ABSENT.iter().any(|code| fault.code().eq_ignore_ascii_case(code)))
    }

    /// Whether it is certain that the call had no effect. A server that broke down may have done its work before
    /// (learn.microsoft.com/azure/azure-resource-manager/management/async-operations), and an answer without Azure's
    /// words may be anybody's.
    pub(crate) fn is_settled(&self) -> bool {
        match self {
            Failure::Said { status, fault } => *status < 500 && !fault.code().is_empty(),
            Failure::NoToken { .. } | Failure::Held(_) | Failure::NotSent(_) => true,
            Failure::Unknown(_) => false,
        }
    }

    /// Whether this code is among what Azure said.
    pub(crate) fn has(&self, code: &str) -> bool {
        matches!(self, Failure::Said { fault, .. } if fault.has(code))
    }
}

/// What it means that there is no token: it concerns every call. The metadata service answers 404 and 410 while it is
/// being updated
/// (learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#error-handling).
fn no_token(status: u16, fault: &Fault) -> Verdict {
    let mut verdict = atlas::judge(fault, status);
    verdict.reach = Reach::Everything;
    verdict.quota_is_silent = false;
    let passes = matches!(status, 404 | 408 | 410) || status >= 500 || fault.code().is_empty();
    if verdict.kind != Kind::Rate && passes {
        verdict.kind = Kind::Transient;
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, code: &str) -> Failure {
        Failure::said(status, Fault::new(code, "words"))
    }

    #[test]
    fn only_azures_own_word_that_there_is_no_such_thing_counts_as_gone() {
        for code in ["ResourceNotFound", "NotFound", "resourcenotfound"] {
            assert!(said(404, code).is_absent(), "{code}");
        }
        let proxy = Failure::said(404, Fault::of_bytes(b"<html>no such page</html>"));
        let metadata = Failure::NoToken {
            status: 404,
            fault: Fault::new("ResourceNotFound", ""),
        };
        for failure in [
            said(404, "SubscriptionNotFound"),
            said(404, "ResourceGroupNotFound"),
            said(404, "NoRegisteredProviderFound"),
            said(404, "InvalidResourceType"),
            said(410, "ResourceNotFound"),
            said(403, "NotFound"),
            proxy,
            metadata,
            Failure::Unknown("ResourceNotFound".to_owned()),
        ] {
            assert!(!failure.is_absent(), "{failure:?}");
        }
    }

    #[test]
    fn what_a_broken_server_or_a_stranger_says_settles_nothing() {
        for settled in [
            said(409, "SkuNotAvailable"),
            said(403, "AuthorizationFailed"),
            said(429, "TooManyRequests"),
            Failure::Held(Time::ZERO),
            Failure::NotSent(String::new()),
            Failure::NoToken {
                status: 503,
                fault: Fault::default(),
            },
        ] {
            assert!(settled.is_settled(), "{settled:?}");
        }
        for open in [
            said(500, "InternalExecutionError"),
            said(503, "ServiceUnavailable"),
            said(502, ""),
            said(408, "RequestTimeout"),
            Failure::said(403, Fault::of_bytes(b"<html>forbidden</html>")),
        ] {
            assert!(!open.is_settled(), "{open:?}");
        }
    }

    #[test]
    fn a_metadata_service_that_is_being_updated_passes_and_wrong_credentials_do_not() {
        let verdict = |status: u16, code: &str| {
            let fault = Fault::new(code, "");
            let verdict = Failure::NoToken { status, fault }.verdict().expect("one");
            (verdict.kind, verdict.reach)
        };
        for status in [404, 410, 500, 503] {
            let expected = (Kind::Transient, Reach::Everything);
            assert_eq!(verdict(status, ""), expected, "{status}");
            assert_eq!(verdict(status, "ResourceNotFound"), expected, "{status}");
        }
        assert_eq!(verdict(403, ""), (Kind::Transient, Reach::Everything));
        for (status, code) in [(401, "AADSTS7000215"), (400, "invalid_request"), (400, "X")] {
            let expected = (Kind::Permanent, Reach::Everything);
            assert_eq!(verdict(status, code), expected, "{code}");
        }
        assert_eq!(verdict(429, ""), (Kind::Rate, Reach::Everything));
    }
}
