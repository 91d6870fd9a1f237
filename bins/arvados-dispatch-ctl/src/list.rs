//! Lists of the management API: gathered from every dispatcher, and decoded row by row.

use anyhow::Result;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;

use crate::{act::host, client::Client, exit::Exit, out::Out};

/// All rows at this path, of all dispatchers that answer; the others are named on standard error. Where several list
/// the same thing, it is shown once.
pub(crate) async fn everything(client: &Client, path: &str, out: &mut Out) -> (Vec<Value>, Exit) {
    let mut rows = vec![];
    let mut exit = Exit::Done;
    for endpoint in client.endpoints() {
        match rows_of(client, endpoint, path).await {
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
                exit = Exit::Failed;
            }
        }
    }
    (rows, exit)
}

async fn rows_of(client: &Client, endpoint: &Url, path: &str) -> Result<Vec<Value>> {
    /// The Go dispatcher writes null for an empty list.
    #[derive(Deserialize)]
    struct List {
        items: Option<Vec<Value>>,
    }
    let answer = client.get(endpoint, path, &[]).await?;
    Ok(answer.json::<List>()?.items.unwrap_or_default())
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
