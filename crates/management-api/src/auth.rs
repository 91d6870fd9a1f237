//! Who may ask: the management token, in each of the forms in which Arvados clients send tokens.

use std::fmt;

use http::{HeaderMap, header};
use subtle::ConstantTimeEq;

/// The management token. Does not print; "" is never right.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// The token with this text.
    pub fn new(text: impl Into<String>) -> Token {
        Token(text.into())
    }

    /// Whether there is one at all.
    pub(crate) fn is_set(&self) -> bool {
        !self.0.is_empty()
    }

    /// Compares in a time that does not depend on where the texts differ.
    fn is(&self, offered: &str) -> bool {
        self.is_set() && bool::from(self.0.as_bytes().ct_eq(offered.as_bytes()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// What a request has shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// No token.
    Anonymous,
    /// Tokens, but not ours.
    Wrong,
    /// Our token.
    Right,
}

/// Judges all tokens that a request carries: `Authorization: Bearer|OAuth2|Basic`, `?api_token=` and the cookie.
pub(crate) fn standing(token: &Token, headers: &HeaderMap, query: &[(String, String)]) -> Standing {
    let mut offered: Vec<String> = Vec::new();
    for value in headers.get_all(header::AUTHORIZATION) {
        offered.extend(value.to_str().ok().and_then(from_authorization));
    }
    offered.extend(
        query
            .iter()
            .filter(|(key, _)| key == "api_token")
            .map(|(_, value)| value.clone()),
    );
    for value in headers.get_all(header::COOKIE) {
        offered.extend(
            value
                .to_str()
                .unwrap_or("")
                .split(';')
                .filter_map(from_cookie),
        );
    }
    judge(token, &offered)
}

/// Judges the Bearer token alone, as health checks and `/_inspect` want it.
pub(crate) fn bearer_standing(token: &Token, headers: &HeaderMap) -> Standing {
    let offered: Vec<String> = headers
        .get_all(header::AUTHORIZATION)
        .into_iter()
        .filter_map(|value| {
            value
                .to_str()
                .ok()?
                .strip_prefix("Bearer ")
                .map(|t| t.trim().to_owned())
        })
        .collect();
    judge(token, &offered)
}

fn judge(token: &Token, offered: &[String]) -> Standing {
    if offered.is_empty() {
        Standing::Anonymous
    } else if offered.iter().any(|o| token.is(o)) {
        Standing::Right
    } else {
        Standing::Wrong
    }
}

fn from_authorization(value: &str) -> Option<String> {
    let (scheme, rest) = value.split_once(' ')?;
    match scheme {
        "Bearer" | "OAuth2" => Some(rest.trim().to_owned()),
        "Basic" => {
            let decoded = String::from_utf8(base64_decode(rest.trim())?).ok()?;
            decoded
                .split_once(':')
                .map(|(_, password)| password.to_owned())
        }
        _ => None,
    }
}

fn from_cookie(cookie: &str) -> Option<String> {
    let value = cookie.trim().strip_prefix("arvados_api_token=")?;
    String::from_utf8(base64_decode(value)?).ok()
}

/// Base64 of either alphabet, with or without padding.
fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut n_bits) = (0u32, 0u32);
    for c in text.trim_end_matches('=').bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        n_bits += 6;
        if n_bits >= 8 {
            n_bits -= 8;
            bytes.push((bits >> n_bits) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(headers: &[(header::HeaderName, &str)], query: &[(&str, &str)], expected: Standing) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_str(value).expect("a header"));
        }
        let query: Vec<_> = query
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        assert_eq!(standing(&Token::new("abc123"), &map, &query), expected);
    }

    #[test]
    fn every_form_of_the_token_is_accepted_and_nothing_else() {
        let auth = header::AUTHORIZATION;
        check(&[], &[], Standing::Anonymous);
        check(&[(auth.clone(), "Bearer abc123")], &[], Standing::Right);
        check(&[(auth.clone(), "OAuth2 abc123")], &[], Standing::Right);
        check(
            &[(auth.clone(), "Basic dXNlcjphYmMxMjM=")],
            &[],
            Standing::Right,
        );
        check(&[], &[("api_token", "abc123")], Standing::Right);
        check(
            &[(header::COOKIE, "a=b; arvados_api_token=YWJjMTIz")],
            &[],
            Standing::Right,
        );
        check(&[(auth.clone(), "Bearer abc1234")], &[], Standing::Wrong);
        check(&[(auth.clone(), "Bearer ")], &[], Standing::Wrong);
        check(&[(auth.clone(), "Basic !!!")], &[], Standing::Anonymous);
        check(
            &[(auth, "Bearer wrong")],
            &[("api_token", "abc123")],
            Standing::Right,
        );
    }

    #[test]
    fn an_empty_token_lets_nobody_in() {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer "));
        assert_eq!(standing(&Token::new(""), &headers, &[]), Standing::Wrong);
        assert_eq!(format!("{:?}", Token::new("abc")), "(secret)");
    }
}
