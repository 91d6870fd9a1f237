//! RunInstances in the SDK's words (facts §2.8.1).

use aws_sdk_ec2::{
    Client,
    operation::run_instances::builders::RunInstancesFluentBuilder,
    types::{
        BlockDeviceMapping, EbsBlockDevice, HttpTokensState, IamInstanceProfileSpecification,
        InstanceInterruptionBehavior, InstanceMarketOptionsRequest, InstanceMetadataEndpointState,
        InstanceMetadataOptionsRequest, InstanceNetworkInterfaceSpecification, InstanceType,
        MarketType, ResourceType, ShutdownBehavior, SpotMarketOptions, Tag, TagSpecification,
        VolumeType,
    },
};
use dispatch_cloud::Tags;

use crate::launch::Launch;

/// The device of the added scratch, which the image's boot script looks for (facts §2.8.1).
const SCRATCH_DEVICE: &str = "/dev/xvdt";

pub(crate) fn run_instances(
    client: &Client,
    launch: &Launch,
    token: Option<&str>,
) -> RunInstancesFluentBuilder {
    let profile = launch.instance_profile.as_ref();
    let mut request = client
        .run_instances()
        .image_id(&launch.image_id)
        .instance_type(InstanceType::from(launch.provider_type.as_str()))
        .min_count(1)
        .max_count(1)
        .set_client_token(token.map(str::to_owned))
        .disable_api_termination(false)
        .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
        .user_data(&launch.user_data)
        .set_key_name(launch.key_name.clone())
        .set_iam_instance_profile(profile.map(|name| {
            IamInstanceProfileSpecification::builder()
                .name(name)
                .build()
        }))
        .network_interfaces(network_interface(launch))
        .metadata_options(
            // Facts E16.
            InstanceMetadataOptionsRequest::builder()
                .http_endpoint(InstanceMetadataEndpointState::Enabled)
                .http_tokens(HttpTokensState::Required)
                .build(),
        )
        .tag_specifications(specification(ResourceType::Instance, &launch.instance_tags))
        .tag_specifications(specification(ResourceType::Volume, &launch.part_tags))
        .tag_specifications(specification(
            ResourceType::NetworkInterface,
            &launch.part_tags,
        ));
    if let Some((gib, volume_type)) = &launch.scratch {
        request = request.block_device_mappings(scratch(*gib, volume_type));
    }
    if let Some(price) = &launch.spot_price {
        request = request
            .instance_market_options(spot(price))
            .tag_specifications(specification(
                ResourceType::SpotInstancesRequest,
                &launch.part_tags,
            ));
    }
    request
}

fn network_interface(launch: &Launch) -> InstanceNetworkInterfaceSpecification {
    InstanceNetworkInterfaceSpecification::builder()
        .associate_public_ip_address(false)
        .delete_on_termination(true)
        .device_index(0)
        .set_groups(Some(launch.security_groups.clone()).filter(|groups| !groups.is_empty()))
        .set_subnet_id(launch.subnet.clone())
        .build()
}

fn scratch(gib: i32, volume_type: &str) -> BlockDeviceMapping {
    let volume = EbsBlockDevice::builder()
        .delete_on_termination(true)
        .volume_size(gib)
        .volume_type(VolumeType::from(volume_type))
        .build();
    BlockDeviceMapping::builder()
        .device_name(SCRATCH_DEVICE)
        .ebs(volume)
        .build()
}

fn spot(price: &str) -> InstanceMarketOptionsRequest {
    let options = SpotMarketOptions::builder()
        .instance_interruption_behavior(InstanceInterruptionBehavior::Terminate)
        .max_price(price)
        .build();
    InstanceMarketOptionsRequest::builder()
        .market_type(MarketType::Spot)
        .spot_options(options)
        .build()
}

/// Tags for one kind of resource.
pub(crate) fn specification(kind: ResourceType, tags: &Tags) -> TagSpecification {
    TagSpecification::builder()
        .resource_type(kind)
        .set_tags(Some(sdk_tags(tags)))
        .build()
}

pub(crate) fn sdk_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect()
}
