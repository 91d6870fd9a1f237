//! What must hold on every cloud, on EC2.

use crate::{
    common::lives::{
        a_changed_token_orphans_no_instance, containers_run_on_the_images_that_they_name,
    },
    support::Rig,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_get_instances_of_the_image_that_they_name() {
    let rig = Rig::start(|order| order.vms("AllowedImages", "{rocky: rocky-9}")).await;
    containers_run_on_the_images_that_they_name(&rig, str::to_owned).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_of_a_former_set_are_found_used_and_destroyed() {
    let mut rig = Rig::start(|order| order.vms("TimeoutIdle", "10s")).await;
    a_changed_token_orphans_no_instance(&mut rig).await;
}
