//! What can go wrong, by what it says about the call's effect.

use std::path::PathBuf;

/// Why a call failed. No variant holds a token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The API answered, and it was not 200 or 204 (facts §2.1.2).
    #[error("the API answered {status} to {call}: {}", messages.join("; "))]
    Status {
        /// The HTTP status.
        status: u16,
        /// What was asked: method and path.
        call: String,
        /// The API's own words; if it had none, what its answer was instead.
        messages: Vec<String>,
    },
    /// The call was not sent: there was no connection, or no turn in the limiter before the deadline.
    #[error("{call} was not sent: {cause}")]
    NotSent {
        /// What was to be asked.
        call: String,
        /// Why.
        cause: String,
    },
    /// The connection broke: nobody knows whether the call had an effect.
    #[error("the connection broke during {call}: {cause}")]
    Unreachable {
        /// What was asked.
        call: String,
        /// Why.
        cause: String,
    },
    /// No answer before the deadline: nobody knows whether the call had an effect.
    #[error("no answer to {call} in time")]
    TimedOut {
        /// What was asked.
        call: String,
    },
    /// The answer cannot be understood, is too long, or contradicts the question.
    #[error("the answer to {call} cannot be used: {cause}")]
    Unusable {
        /// What was asked.
        call: String,
        /// What is wrong with the answer.
        cause: String,
    },
}

impl ApiError {
    /// The HTTP status, if there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            ApiError::Status { status, .. } => Some(*status),
            ApiError::NotSent { .. }
            | ApiError::Unreachable { .. }
            | ApiError::TimedOut { .. }
            | ApiError::Unusable { .. } => None,
        }
    }
}

/// Why there can be no client at all: a mistake in the configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// There is nobody to talk to.
    #[error(
        "Services.Controller.ExternalURL is `{url}`, which has no host: set it to the cluster's API, like https://zzzzz.example.com/"
    )]
    NoHost {
        /// The URL as configured.
        url: String,
    },
    /// Neither http nor https.
    #[error("Services.Controller.ExternalURL is `{url}`: only http and https will do")]
    Scheme {
        /// The URL as configured.
        url: String,
    },
    /// The token cannot be put into a header.
    #[error("SystemRootToken has characters that cannot be sent: use letters and digits only")]
    Token,
    /// An address cannot be diverted.
    #[error(
        "ARVADOS_SERVER_ADDRESS is `{to}`, but Services.Controller.ExternalURL names the address {host}: put a host name there, or unset ARVADOS_SERVER_ADDRESS"
    )]
    Diversion {
        /// The address in the URL.
        host: String,
        /// Where the connections should go.
        to: String,
    },
    /// The file of certificates cannot be used.
    #[error("the certificate authorities in {} cannot be used: {cause}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The TLS library refuses.
    #[error("the HTTP client cannot be set up: {cause}")]
    Library {
        /// In its own words.
        cause: String,
    },
}
