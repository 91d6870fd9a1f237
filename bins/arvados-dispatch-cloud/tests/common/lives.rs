//! What must hold on every cloud: images that containers name, and instances of a former set.

use std::collections::BTreeSet;

use dispatch_lab_net::world::world::Submission;

use super::{Cluster, container, eventually};

/// A container that asks for this image.
fn with_image(image: &str) -> Submission {
    let mut container = container(1, 5_000);
    let constraints = container.attributes.get_mut("runtime_constraints");
    constraints.expect("constraints")["vm_image"] = image.into();
    container
}

/// One container names an image, another one that is not allowed, and a third none: each runs on an instance that the
/// cloud has made of what it is to have. `id` is what the cloud calls an image of the configuration.
pub(crate) async fn containers_run_on_the_images_that_they_name(
    cluster: &Cluster,
    id: impl Fn(&str) -> String,
) {
    let cases = [
        (with_image("rocky"), "rocky-9"),
        (with_image("nowhere"), "lab-image"),
        (container(1, 5_000), "lab-image"),
    ];
    let uuids: Vec<String> = (cases.iter())
        .map(|(case, _)| cluster.submit(case))
        .collect();
    cluster.all_in_state(&uuids, "Running").await;
    for (uuid, (_, image)) in uuids.iter().zip(&cases) {
        let images: BTreeSet<String> = cluster.lab.world(|world, _| {
            let runners = &world.judge().story(uuid).expect("a story").runners;
            let instances = world.instances().instances();
            let image = |instance: &String| instances[instance].image_id.clone();
            runners
                .keys()
                .map(|(instance, _)| image(instance))
                .collect()
        });
        assert_eq!(images, [id(image)].into(), "{uuid}");
    }
    assert!(cluster.log().contains("which this cluster does not offer"));
    cluster.all_is_done().await;
}

/// The cluster gets another SystemRootToken, and the next daemon is told of the former set (facts K21): it uses the
/// instances that it finds, and destroys them when they are idle.
pub(crate) async fn a_changed_token_orphans_no_instance(cluster: &mut Cluster) {
    const TOKEN: &str = "anothersystemroottoken000000000000000000000000000";
    let first = cluster.submit(&container(1, 300));
    cluster.all_in_state(&[first], "Complete").await;
    let sets = |cluster: &Cluster| -> BTreeSet<String> {
        cluster.lab.world(|world, _| {
            let instances = world.instances().instances().values();
            let ours = instances.filter(|one| one.alive() && !one.bystander);
            ours.filter_map(|one| one.tags.get("ArvadosInstanceSetID").cloned())
                .collect()
        })
    };
    let former = sets(cluster).into_iter().next().expect("an instance");
    let created = cluster.judge().instances_created;

    let path = cluster.directory.path().join("config.yml");
    let config = std::fs::read_to_string(&path).expect("read");
    let lines = config.lines().map(|line| match line.trim() {
        text if text.starts_with("SystemRootToken:") => format!("    SystemRootToken: {TOKEN}\n"),
        "CloudVMs:" => format!("{line}\n        FormerInstanceSetIDs: [\"{former}\"]\n"),
        _ => format!("{line}\n"),
    });
    std::fs::write(&path, lines.collect::<String>()).expect("written");
    cluster
        .lab
        .world(|world, _| world.replace_root_token(TOKEN));
    cluster.kill_and_start_again().await;

    let second = cluster.submit(&container(1, 300));
    cluster.all_in_state(&[second], "Complete").await;
    assert_eq!(cluster.judge().instances_created, created, "one was there");
    assert_eq!(sets(cluster), [former.clone()].into(), "it keeps its set");
    // What is new belongs to the new set.
    let large = cluster.submit(&container(8, 2_000));
    eventually("the large one runs", || cluster.state(&large) == "Running").await;
    assert_eq!(sets(cluster).len(), 2);
    cluster.all_is_done().await;
}
