//! Orders about named things: each is sent to every dispatcher, and what came of it is said on standard error.

use reqwest::StatusCode;
use url::Url;

use crate::{client::Client, exit::Exit, out::Out};

/// An order of the management API: its path, the name of its parameter, and why it is given.
pub(crate) struct Order<'a> {
    pub(crate) path: &'a str,
    pub(crate) parameter: &'a str,
    pub(crate) reason: Option<&'a str>,
}

/// Gives the order for each id. It is done if one dispatcher did it: with several, the others stand by and know
/// nothing of it.
pub(crate) async fn act(client: &Client, order: &Order<'_>, ids: &[String], out: &mut Out) -> Exit {
    let mut exit = Exit::Done;
    for id in ids {
        let mut done = false;
        for endpoint in client.endpoints() {
            let (line, accepted) = tell(client, endpoint, order, id).await;
            out.err(&format!("{id}: {line} ({})", host(endpoint)));
            done |= accepted;
        }
        if !done {
            exit = Exit::Failed;
        }
    }
    exit
}

async fn tell(client: &Client, endpoint: &Url, order: &Order<'_>, id: &str) -> (String, bool) {
    let mut parameters = vec![(order.parameter, id)];
    parameters.extend(order.reason.map(|reason| ("reason", reason)));
    match client.post(endpoint, order.path, &parameters).await {
        Ok(answer) if answer.status == StatusCode::NOT_FOUND => {
            let said = client.unknown(endpoint, answer.status_line()).await;
            (said, false)
        }
        Ok(answer) => (answer.status_line(), answer.status == StatusCode::OK),
        Err(error) => (format!("{error:#}"), false),
    }
}

/// "127.0.0.1:9006".
pub(crate) fn host(endpoint: &Url) -> String {
    let host = endpoint.host_str().unwrap_or_default();
    match endpoint.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.into(),
    }
}
