//! Sees to it that an answer is whole: the SDK takes XML that is cut off for an answer with nothing in it, and a list
//! that is cut off would make instances vanish.

use aws_sdk_ec2::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::AfterDeserializationInterceptorContextRef,
    },
    error::BoxError,
};

/// Refuses answers that are not EC2's, or do not end as XML documents do. The SDK does not even look at the answers to
/// some actions.
#[derive(Debug)]
pub(crate) struct OnlyWhole;

impl Intercept for OnlyWhole {
    fn name(&self) -> &'static str {
        "OnlyWhole"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        let body = response.body().bytes().unwrap_or_default();
        if response.status().is_success() && !is_whole(body) {
            return Err("the answer is cut off, or not EC2's".into());
        }
        Ok(())
    }
}

/// Whether the last element closed is the first that was opened, which EC2 names after the action.
fn is_whole(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    let mut rest = text.trim();
    while let Some(("", after)) = rest
        .split_once("<?")
        .map(|(before, after)| (before.trim(), after))
    {
        rest = after
            .split_once("?>")
            .map_or("", |(_, after)| after)
            .trim_start();
    }
    let name: String = rest
        .strip_prefix('<')
        .unwrap_or_default()
        .chars()
        .take_while(|c| !c.is_whitespace() && !matches!(c, '>' | '/'))
        .collect();
    name.ends_with("Response") && rest.ends_with(&format!("</{name}>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_documents_that_end_are_whole() {
        for (text, whole) in [
            (
                "<?xml version=\"1.0\"?>\n<RunInstancesResponse xmlns=\"x\"><a/></RunInstancesResponse>\n",
                true,
            ),
            ("<CreateTagsResponse></CreateTagsResponse>", true),
            ("<html><body>Please log in</body></html>", false),
            (
                "<?xml version=\"1.0\"?><RunInstancesResponse xmlns=\"x\"><instancesSet><item>",
                false,
            ),
            ("<XResponse><a></XResponse", false),
            ("<XResponse><a></a>", false),
            ("", false),
            ("<?xml", false),
            ("not XML", false),
        ] {
            assert_eq!(is_whole(text.as_bytes()), whole, "{text}");
        }
    }
}
