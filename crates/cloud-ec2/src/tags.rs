//! Which tags go where.

use dispatch_cloud::Tags;

/// Whether EC2 keeps this name for itself: such tags can be neither set nor removed, and do not count (facts K28).
pub(crate) fn is_reserved(key: &str) -> bool {
    key.get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("aws:"))
}

/// The tags that may be set.
pub(crate) fn settable(tags: &Tags) -> Tags {
    let mut tags = tags.clone();
    tags.retain(|key, _| !is_reserved(key));
    tags
}

/// For an instance's volumes, network interface and spot request: what says whose they are, and not the secret.
pub(crate) fn of_parts(tags: &Tags, prefix: &str) -> Tags {
    let mut tags = settable(tags);
    tags.remove(&format!("{prefix}InstanceSecret"));
    tags
}

/// For the key pair, which all instances share.
pub(crate) fn of_key_pair(tags: &Tags, prefix: &str) -> Tags {
    let mut tags = of_parts(tags, prefix);
    tags.remove(&format!("{prefix}InstanceType"));
    tags.remove(&format!("{prefix}IdleBehavior"));
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(tags: &Tags) -> Vec<&str> {
        tags.keys().map(String::as_str).collect()
    }

    #[test]
    fn reserved_tags_are_left_alone_and_the_secret_stays_on_the_instance() {
        let tags: Tags = [
            "AWS:x",
            "Project",
            "TInstanceSecret",
            "TInstanceSetID",
            "TInstanceType",
            "aws:autoscaling",
        ]
        .map(|key| (key.to_owned(), "v".to_owned()))
        .into();
        assert_eq!(
            keys(&settable(&tags)),
            [
                "Project",
                "TInstanceSecret",
                "TInstanceSetID",
                "TInstanceType"
            ]
        );
        assert_eq!(
            keys(&of_parts(&tags, "T")),
            ["Project", "TInstanceSetID", "TInstanceType"]
        );
        assert_eq!(
            keys(&of_key_pair(&tags, "T")),
            ["Project", "TInstanceSetID"]
        );
        assert!(!is_reserved("awsome") && !is_reserved("ä:"));
    }
}
