//! Whether a section about the database came to nothing.

use crate::{path::KeyPath, reader::Reader};

/// `PostgreSQL.Connection`: whoever wrote something there wants the dispatchers' lock to be taken. If none of it counts
/// (wrong case, empty values), going to work without the lock would be going to work beside another dispatcher.
pub(crate) fn connection(reader: &mut Reader<'_>) {
    const KEY: &str = "PostgreSQL.Connection";
    let values = reader.section(KEY).values();
    let counts = |value: &serde_json::Value| value.as_str().is_some_and(|text| !text.is_empty());
    if values.into_iter().any(counts) || !reader.report.given().any(is_about_a_connection) {
        return;
    }
    reader.report.error(
        &KeyPath::dotted(KEY),
        None,
        "comes to nothing: each of its keys is ignored or empty, so no dispatchers' lock would be taken",
        "write its keys in lower case and with values (host, port, user, password, dbname); if no lock is wanted, \
         remove the section",
    );
}

/// Something in the section, or the section itself in wrong letters.
fn is_about_a_connection(path: &KeyPath) -> bool {
    match path.keys() {
        [top] => top.eq_ignore_ascii_case("PostgreSQL") && top != "PostgreSQL",
        [top, key] if top == "PostgreSQL" => {
            let known = key == "Connection" || key.eq_ignore_ascii_case("ConnectionPool");
            !known
        }
        [top, key, ..] => top == "PostgreSQL" && key == "Connection",
        [] => false,
    }
}
