//! Parameters of a request: its query and, for POST, its form (facts M2).

/// Splits `a=b&c=d`, with `+` and `%XX` decoded. What is not UTF-8 becomes the replacement character.
pub(crate) fn parse(encoded: &str) -> Vec<(String, String)> {
    encoded
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        })
        .collect()
}

/// The first value of `key` that is not empty.
pub(crate) fn first<'a>(parameters: &'a [(String, String)], key: &str) -> Option<&'a str> {
    parameters
        .iter()
        .find(|(k, v)| k == key && !v.is_empty())
        .map(|(_, v)| v.as_str())
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = rest.clone();
                match hex_pair(digits) {
                    Some(decoded) => {
                        bytes.push(decoded);
                        rest.nth(1);
                    }
                    None => bytes.push(b'%'),
                }
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex_pair(mut digits: impl Iterator<Item = u8>) -> Option<u8> {
    let high = char::from(digits.next()?).to_digit(16)?;
    let low = char::from(digits.next()?).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_with_slashes_and_odd_escapes_arrive_whole() {
        let parsed = parse("instance_id=%2Fsubscriptions%2Fa+b%2fc&reason=100%&empty=&%zz");
        assert_eq!(first(&parsed, "instance_id"), Some("/subscriptions/a b/c"));
        assert_eq!(first(&parsed, "reason"), Some("100%"));
        assert_eq!(first(&parsed, "empty"), None);
        assert_eq!(first(&parsed, "absent"), None);
        assert_eq!(parsed.last().map(|(k, _)| k.as_str()), Some("%zz"));
    }
}
