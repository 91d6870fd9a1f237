//! Lists of the management API: gathered from every dispatcher, and decoded row by row.

use anyhow::{Result, bail};
use reqwest::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;

use crate::{act::host, client::Client, exit::Exit, out::Out};

/// What the dispatchers list.
pub(crate) struct Listing {
    /// Each row once, where several list the same thing.
    pub(crate) rows: Vec<Value>,
    /// Failed if one of them did not answer, which standard error says.
    pub(crate) exit: Exit,
    /// One of them did not answer: there may be more rows.
    pub(crate) incomplete: bool,
}

/// All rows at this path, of all dispatchers that answer; the others are named on standard error. `None` if none
/// that is in command answered: then nothing is known, not even that there is nothing.
pub(crate) async fn everything(client: &Client, path: &str, out: &mut Out) -> Option<Listing> {
    let mut rows = vec![];
    let (mut n_failed, mut n_waiting) = (0, 0);
    for endpoint in client.endpoints() {
        match rows_of(client, endpoint, path).await {
            Ok(found) if found.is_empty() => {
                if let Some(why) = client.waits_for(endpoint).await {
                    out.err(&format!("{}: not in command: {why}", host(endpoint)));
                    n_waiting += 1;
                }
            }
            Ok(found) if rows.is_empty() => rows = found,
            Ok(found) => {
                for row in found {
                    if !rows.contains(&row) {
                        rows.push(row);
                    }
                }
            }
            Err(error) => {
                out.err(&format!("{}: {error:#}", host(endpoint)));
                n_failed += 1;
            }
        }
    }
    let n_asked = client.endpoints().len();
    if n_failed + n_waiting == n_asked {
        // Whoever is in command was not asked, or did not answer.
        return None;
    }
    let incomplete = n_failed > 0;
    if incomplete {
        out.err(&format!(
            "the list is incomplete: {n_failed} of {n_asked} dispatchers did not answer"
        ));
    }
    Some(Listing {
        rows,
        exit: if incomplete { Exit::Failed } else { Exit::Done },
        incomplete,
    })
}

async fn rows_of(client: &Client, endpoint: &Url, path: &str) -> Result<Vec<Value>> {
    /// The Go dispatcher writes null for an empty list; an answer without the list is none of a dispatcher.
    #[derive(Deserialize)]
    struct List {
        #[serde(deserialize_with = "Option::deserialize")]
        items: Option<Vec<Value>>,
    }
    let answer = client.get(endpoint, path, &[]).await?;
    if answer.status == StatusCode::NOT_FOUND {
        // Every dispatcher has lists, so this is none, or the URL leads past its API.
        let below = match endpoint.path() {
            "/" => String::new(),
            path => format!(
                " below {}: leave that path out of the URL",
                crate::table::printable(path)
            ),
        };
        bail!(
            "{} (there is no management API of a dispatcher{below})",
            answer.status_line()
        );
    }
    Ok(answer.json::<List>()?.items.unwrap_or_default())
}

/// What people read where there are no rows: "no instances".
pub(crate) fn nothing(what: &str, incomplete: bool) -> String {
    if incomplete {
        format!("no {what} on the dispatchers that answered\n")
    } else {
        format!("no {what}\n")
    }
}

/// The rows as what they are; a row that is something else is reported, and the others go on.
pub(crate) fn decode<T: DeserializeOwned>(
    rows: &[Value],
    what: &str,
    mut exit: Exit,
    out: &mut Out,
) -> (Vec<T>, Exit) {
    let mut decoded = vec![];
    for (index, row) in rows.iter().enumerate() {
        match T::deserialize(row) {
            Ok(row) => decoded.push(row),
            Err(error) => {
                out.err(&format!("{what} {} of {}: {error}", index + 1, rows.len()));
                exit = Exit::Failed;
            }
        }
    }
    (decoded, exit)
}

/// The rows as they came, as one indented JSON array.
pub(crate) fn json(rows: &[Value]) -> String {
    let rows = Value::Array(rows.to_vec());
    format!("{rows:#}\n")
}
