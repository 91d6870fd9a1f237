//! What Azure says went wrong, whatever the form: the resource manager's errors with errors inside them (also as text
//! inside a message), those of the token endpoint, an operation's, an instance view's.

use std::time::Duration;

use serde_json::Value;

/// How deep errors are looked for inside errors, and how many are kept.
const DEPTH_MAX: usize = 6;
const CODES_MAX: usize = 24;

/// What went wrong.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Fault {
    /// Codes and messages, the innermost first: the outer ones say little ("Conflict", "DeploymentFailed").
    said: Vec<(String, String)>,
    /// How long Azure asks us to wait.
    pub(crate) retry_after: Option<Duration>,
}

impl Fault {
    /// From the body of a refusal, of an operation that failed, or of a token request.
    pub(crate) fn read(body: &Value) -> Fault {
        let mut fault = Fault::default();
        let error = &body["error"];
        if let Some(code) = error.as_str() {
            // The token endpoint's: the numbers are in the description ("AADSTS7000215: Invalid client secret …").
            let words = body["error_description"].as_str().unwrap_or_default();
            let number = words.split(':').next().unwrap_or_default();
            if number.starts_with("AADSTS") {
                fault.add(number, words);
            }
            fault.add(code, words);
        } else if error.is_object() {
            fault.descend(error, 0);
        } else {
            // Some services leave the envelope out.
            fault.descend(body, 0);
        }
        fault
    }

    /// From bytes that may be no JSON at all.
    pub(crate) fn of_bytes(body: &[u8]) -> Fault {
        match serde_json::from_slice(body) {
            Ok(value) => Fault::read(&value),
            Err(_) => Fault::new("", String::from_utf8_lossy(body).trim()),
        }
    }

    /// One code with one message.
    pub(crate) fn new(code: &str, message: &str) -> Fault {
        Fault {
            said: vec![(code.to_owned(), message.to_owned())],
            retry_after: None,
        }
    }

    /// All codes, the innermost first.
    pub(crate) fn codes(&self) -> impl Iterator<Item = &str> {
        self.said
            .iter()
            .map(|(code, _)| code.as_str())
            .filter(|code| !code.is_empty())
    }

    /// The code to show: the innermost.
    pub(crate) fn code(&self) -> &str {
        self.codes().next().unwrap_or_default()
    }

    /// Whether this code is among them.
    pub(crate) fn has(&self, code: &str) -> bool {
        self.codes().any(|found| found.eq_ignore_ascii_case(code))
    }

    /// The message to show: the innermost that says something.
    pub(crate) fn message(&self) -> &str {
        self.said
            .iter()
            .map(|(_, message)| message.as_str())
            .find(|message| !message.trim().is_empty())
            .unwrap_or_default()
    }

    fn descend(&mut self, error: &Value, depth: usize) {
        let code = error["code"].as_str().unwrap_or_default();
        let message = error["message"].as_str().unwrap_or_default();
        // Deployments put whole answers into messages, as text.
        let inside: Option<Value> = message
            .trim_start()
            .starts_with('{')
            .then(|| serde_json::from_str(message).ok())
            .flatten();
        if depth < DEPTH_MAX {
            if let Some(inside) = &inside {
                let deeper = match &inside["error"] {
                    Value::Null => inside,
                    deeper => deeper,
                };
                self.descend(deeper, depth + 1);
            }
            for detail in error["details"].as_array().into_iter().flatten() {
                self.descend(detail, depth + 1);
            }
            // `innererror` is of the service's own making; only one that has a code says something.
            if error["innererror"]["code"].is_string() {
                self.descend(&error["innererror"], depth + 1);
            }
        }
        self.add(code, if inside.is_some() { "" } else { message });
    }

    fn add(&mut self, code: &str, message: &str) {
        if self.said.len() < CODES_MAX && !(code.is_empty() && message.is_empty()) {
            self.said.push((code.to_owned(), message.to_owned()));
        }
    }
}
