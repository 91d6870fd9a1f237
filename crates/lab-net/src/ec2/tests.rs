//! The strictness that drivers are judged by; boto3 judges the XML (crates/cloud-ec2/tests).

use super::*;

#[test]
fn forms_are_read_with_their_numbered_lists() {
    let form = Form::read(b"Action=X&Filter.1.Name=tag%3Aa&Filter.1.Value.1=b+c&TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=k&TagSpecification.1.Tag.1.Value=v");
    assert_eq!(form.action(), "X");
    assert_eq!(
        form.filters(),
        [("tag:a".to_owned(), vec!["b c".to_owned()])]
    );
    assert_eq!(
        form.tags_for("instance"),
        [("k".to_owned(), "v".to_owned())].into()
    );
    assert!(form.tags_for("volume").is_empty());
}

#[test]
fn base64_is_undone() {
    assert_eq!(show::from_base64("IyEvYmluL3NoCg=="), "#!/bin/sh\n");
    assert_eq!(show::from_base64("Zm9v"), "foo");
    assert_eq!(show::from_base64("!"), "");
}

#[test]
fn filters_have_wildcards_unless_a_backslash_stands_before_them() {
    for (pattern, text, expected) in [
        ("ab", "ab", true),
        ("ab", "abc", false),
        ("a*", "abc", true),
        ("*c", "abc", true),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        (r"a\*", "abc", false),
        (r"a\*", "a*", true),
        (r"\\", r"\", true),
        ("", "", true),
        ("", "a", false),
        ("ä*", "äöü", true),
    ] {
        assert_eq!(show::matches(pattern, text), expected, "{pattern} {text}");
    }
}

#[test]
fn the_actions_of_a_policy_are_read_from_its_document() {
    let document = "# Words\n\n```json\n{\"Statement\": [{\"Action\": [\"ec2:RunInstances\", \"iam:PassRole\"]}, \
                    {\"Action\": [\"ec2:CreateTags\"]}]}\n```\n\n```json\n[{\"Action\": [\"kms:Decrypt\"]}]\n```\n";
    let actions: Vec<String> = actions_of_policy(document).into_iter().collect();
    assert_eq!(actions, ["CreateTags", "RunInstances"]);
}
