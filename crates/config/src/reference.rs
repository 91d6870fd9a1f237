//! The table of keys for people: what `docs/configuration.md` shows.

use serde_json::Value;

use crate::{
    keys::{self, Key, Kind},
    schema,
};

/// Markdown tables of every key that the dispatcher reads: first those of Arvados, then our own.
pub fn key_tables() -> String {
    let mut text = String::from("### Keys of Arvados\n\n");
    text += &table(keys::READ);
    text += "\n### Keys of our own\n\n";
    text += "Arvados does not know these: the Go dispatcher warns of them, and they are not sent to runners.\n\n";
    for (i, (key, _)) in keys::OWN.iter().enumerate() {
        text += &if i == 0 {
            table(std::slice::from_ref(key))
        } else {
            row(key)
        };
    }
    text
}

fn table(keys: &[Key]) -> String {
    let head = "| Key | Type | Default | Meaning |\n|---|---|---|---|\n".to_owned();
    keys.iter().fold(head, |text, key| text + &row(key))
}

fn row(key: &Key) -> String {
    let kind = match key.kind {
        Kind::Size => "size (bytes)",
        Kind::Verbatim => "section",
        kind => kind.name(),
    };
    let meaning = key.meaning.replace('|', "\\|");
    format!(
        "| `{}` | {kind} | {} | {meaning} |\n",
        key.path,
        default(key)
    )
}

fn default(key: &Key) -> String {
    let value = schema::default_at(key.path);
    match (key.kind, value) {
        (Kind::Verbatim, _) => String::new(),
        (Kind::Map | Kind::Texts, _) => "empty".to_owned(),
        (Kind::Size, Some(Value::Number(bytes))) => {
            let bytes = bytes.as_u64().unwrap_or(0);
            format!(
                "`{}`",
                dispatch_model::units::bytes_for_people(bytes).replace(' ', "")
            )
        }
        (_, Some(Value::String(text))) if text.is_empty() => "empty".to_owned(),
        (_, Some(Value::String(text))) => format!("`{text}`"),
        (_, Some(value)) => format!("`{value}`"),
        (Kind::Count | Kind::Size | Kind::Number, None) => "`0`".to_owned(),
        (Kind::Bool, None) => "`false`".to_owned(),
        (_, None) => "empty".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_shows_the_keys_as_they_are() {
        const BEGIN: &str = "<!-- keys: begin (generated; UPDATE_EXPECT=1 cargo test -p dispatch-config renews it) -->\n";
        const END: &str = "<!-- keys: end -->\n";
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let text = std::fs::read_to_string(file).expect("docs/configuration.md");
        let (before, rest) = text
            .split_once(BEGIN)
            .expect("the marker before the tables");
        let (shown, after) = rest.split_once(END).expect("the marker after the tables");
        let wanted = format!("\n{}\n", key_tables());
        if shown != wanted && std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(file, format!("{before}{BEGIN}{wanted}{END}{after}"))
                .expect("docs/configuration.md");
            return;
        }
        assert_eq!(
            shown, wanted,
            "docs/configuration.md is out of date: run with UPDATE_EXPECT=1"
        );
    }
}
