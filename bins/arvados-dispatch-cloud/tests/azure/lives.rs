//! What must hold on every cloud, on Azure.

use crate::{
    common::lives::{
        a_changed_token_orphans_no_instance, containers_run_on_the_images_that_they_name,
    },
    support::Rig,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_get_vms_of_the_image_that_they_name() {
    let mut subscription = String::new();
    let rig = Rig::start(|order| {
        let images = "{rocky: rocky-9}".to_owned();
        order.cloud_vms.insert("AllowedImages", images);
        order.azure.images.insert("rocky-9".to_owned());
        subscription = order.azure.subscription.clone();
    })
    .await;
    let id = |image: &str| {
        format!(
            "/subscriptions/{subscription}/resourceGroups/images/providers/Microsoft.Compute/images/{image}"
        )
    };
    containers_run_on_the_images_that_they_name(&rig, id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vms_of_a_former_set_are_found_used_and_destroyed() {
    let mut rig = Rig::start(|order| {
        order.cloud_vms.insert("TimeoutIdle", "10s".to_owned());
    })
    .await;
    a_changed_token_orphans_no_instance(&mut rig).await;
}
