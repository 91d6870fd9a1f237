//! One call of RunInstances: everything that is sent, as plain values, and the token that makes it idempotent.

use aws_lc_rs::digest::{Context, SHA256};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use dispatch_cloud::{CreateOrder, Tags};

use crate::{parameters::Parameters, tags};

/// What one call asks for.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Launch {
    pub(crate) image_id: String,
    pub(crate) provider_type: String,
    pub(crate) subnet: Option<String>,
    pub(crate) security_groups: Vec<String>,
    pub(crate) key_name: Option<String>,
    pub(crate) instance_profile: Option<String>,
    pub(crate) user_data: String,
    /// GiB and volume type.
    pub(crate) scratch: Option<(i32, String)>,
    /// The highest price for a spot instance, as text.
    pub(crate) spot_price: Option<String>,
    pub(crate) instance_tags: Tags,
    /// For volumes, network interface and spot request.
    pub(crate) part_tags: Tags,
}

impl Launch {
    pub(crate) fn new(
        order: &CreateOrder,
        subnet: Option<&str>,
        key_name: Option<String>,
        tag_key_prefix: &str,
        parameters: &Parameters,
    ) -> Launch {
        let instance_type = &order.instance_type;
        let scratch = gib(instance_type.added_scratch_bytes)
            .map(|gib| (gib, parameters.ebs_volume_type.clone()));
        Launch {
            image_id: order.image_id.clone(),
            provider_type: instance_type.provider_type.clone(),
            subnet: subnet.map(str::to_owned),
            security_groups: parameters.security_groups.clone(),
            key_name,
            instance_profile: parameters.instance_profile.clone(),
            user_data: STANDARD.encode(&order.init_script),
            scratch,
            spot_price: instance_type
                .preemptible
                .then(|| instance_type.price.to_string()),
            instance_tags: tags::settable(&order.tags),
            part_tags: tags::of_parts(&order.tags, tag_key_prefix),
        }
    }

    /// The client token: the same for the same secret and parameters, another if any of them differs. EC2 takes at
    /// most 64 ASCII characters.
    pub(crate) fn token(&self, secret: &str) -> String {
        let mut hash = Context::new(&SHA256);
        let mut add = |text: &str| {
            hash.update(&text.len().to_be_bytes());
            hash.update(text.as_bytes());
        };
        add(secret);
        for text in [&self.image_id, &self.provider_type, &self.user_data] {
            add(text);
        }
        for text in [
            &self.subnet,
            &self.key_name,
            &self.instance_profile,
            &self.spot_price,
        ] {
            add(if text.is_some() { "some" } else { "none" });
            add(text.as_deref().unwrap_or_default());
        }
        add(&self.security_groups.len().to_string());
        self.security_groups.iter().for_each(|group| add(group));
        if let Some((gib, volume_type)) = &self.scratch {
            add(&gib.to_string());
            add(volume_type);
        }
        for tags in [&self.instance_tags, &self.part_tags] {
            add(&tags.len().to_string());
            for (key, value) in tags {
                add(key);
                add(value);
            }
        }
        hex::encode(hash.finish())
    }
}

/// Bytes as GiB, rounded up (facts E22); `None` for none.
fn gib(bytes: u64) -> Option<i32> {
    match bytes.div_ceil(1 << 30) {
        0 => None,
        gib => Some(i32::try_from(gib).unwrap_or(i32::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn scratch_is_rounded_up_to_gib() {
        for (bytes, expected) in [
            (0, None),
            (1, Some(1)),
            (1 << 30, Some(1)),
            ((1 << 30) + 1, Some(2)),
            (50_000_000_000, Some(47)),
            (u64::MAX, Some(i32::MAX)),
        ] {
            assert_eq!(gib(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn every_parameter_is_part_of_the_token() {
        let launch = || Launch {
            image_id: "ami-1".into(),
            provider_type: "m5.large".into(),
            subnet: Some("subnet-1".into()),
            security_groups: vec!["sg-1".into()],
            key_name: Some("key".into()),
            instance_profile: None,
            user_data: "x".into(),
            scratch: None,
            spot_price: None,
            instance_tags: [("a".to_owned(), "b".to_owned())].into(),
            part_tags: Tags::new(),
        };
        assert_eq!(launch().token("s"), launch().token("s"));
        assert_eq!(launch().token("s").len(), 64);
        let changes: [fn(&mut Launch); 12] = [
            |_| (),
            |l| l.image_id.push('x'),
            |l| l.provider_type.push('x'),
            |l| l.subnet = Some("subnet-2".into()),
            |l| l.subnet = None,
            |l| l.security_groups.push("sg-2".into()),
            |l| l.key_name = None,
            |l| l.instance_profile = Some("p".into()),
            |l| l.user_data.push('x'),
            |l| l.scratch = Some((1, "gp2".into())),
            |l| l.spot_price = Some("0.1".into()),
            |l| l.part_tags = std::mem::take(&mut l.instance_tags),
        ];
        let mut tokens = BTreeSet::from([launch().token("another secret")]);
        for change in changes {
            let mut launch = launch();
            change(&mut launch);
            assert!(tokens.insert(launch.token("s")), "{launch:?}");
        }
    }
}
