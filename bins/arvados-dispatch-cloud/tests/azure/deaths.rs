//! The process is killed before, during and after every kind of request of create and delete, and at random points, and
//! started again: nothing is orphaned, and nothing is made twice.

use std::time::Duration;

use dispatch_lab_net::{AzureBad, AzureInjection};
use tokio::time::Instant;

use crate::support::{MINUTE_MS, Order, Rig, SCALE, container, eventually};

/// How often the process is killed at random points; more with `cargo xtask soak`.
const KILLS: &str = "DISPATCH_AZURE_KILLS";
const KILLS_USUALLY: u64 = 16;
/// So many labs share these kills.
const LABS: u64 = 4;

/// Within this nothing is orphaned any more: the create deadline, the time that a failed create keeps its network
/// interface, and two garbage collections, 300 s apart; scaled.
const CLEAN_WITHIN: Duration = Duration::from_millis((600 + 180 + 2 * 300) * 1000 / SCALE);
/// What a busy machine may take on top.
const SLACK: Duration = Duration::from_secs(20);

/// A kind of request: method, part of the path, and what brings it about.
type Kind = (&'static str, &'static str, fn(&mut Order));

fn nothing(_: &mut Order) {}

/// The first create is refused, and its network interface deleted.
fn refused(order: &mut Order) {
    let none_left = AzureBad::Refused(409, "AllocationFailed".to_owned(), String::new());
    order.bad("PUT", "virtualMachines/", 1, none_left);
}

/// The garbage collection finds what VMs leave behind.
fn leftovers(order: &mut Order) {
    order.azure.leaves_leftovers = true;
}

/// Every kind of request that makes or ends a VM, and those that are sent in doubt.
const KINDS: [Kind; 11] = [
    ("PUT", "networkInterfaces/", nothing),
    ("GET", "networkInterfaces/", |order| order.azure.nic_ms = 30),
    ("PUT", "virtualMachines/", nothing),
    ("GET", "virtualMachines/", |order| {
        order.bad("PUT", "virtualMachines/", 1, AzureBad::Lost);
    }),
    ("GET", "operations/", |order| {
        order.azure.create_ms = MINUTE_MS;
    }),
    ("GET", "Microsoft.Network/networkInterfaces", nothing),
    ("GET", "Microsoft.Compute/disks", nothing),
    ("DELETE", "virtualMachines/", nothing),
    ("DELETE", "networkInterfaces/", refused),
    ("DELETE", "networkInterfaces/", leftovers),
    ("DELETE", "disks/", leftovers),
];

/// Before the request arrives, after it was carried out, and after the answer.
fn deaths() -> [(&'static str, AzureBad); 3] {
    [
        ("before", AzureBad::Unheard),
        ("during", AzureBad::Silent),
        ("after", AzureBad::Fine),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_during_and_after_every_kind_of_request_it_orphans_nothing_and_makes_nothing_twice()
 {
    for (moment, bad) in deaths() {
        // Side by side: most of the time they wait.
        let lives = KINDS.map(|kind| tokio::spawn(one_death(moment, bad.clone(), kind)));
        for life in lives {
            life.await.expect("a life");
        }
    }
}

async fn one_death(moment: &'static str, bad: AzureBad, kind: Kind) {
    let (method, path, prepare) = kind;
    let name = format!("killed {moment} {method} {path}");
    let mut rig = Rig::start(|order| {
        order.azure.injections = vec![AzureInjection::next(method, path, bad)];
        prepare(order);
    })
    .await;
    let uuid = rig.submit(&container(1, 200));
    eventually(&format!("{name}: the request is sent"), || rig.has_struck()).await;
    rig.kill_and_start_again().await;
    eventually(&format!("{name}: it ran"), || {
        rig.state(&uuid) == "Complete"
    })
    .await;
    rig.all_is_done().await;
    clean(&rig, &name).await;
}

/// Nothing is orphaned within the time that there is.
async fn clean(rig: &Rig, name: &str) {
    let began = Instant::now();
    rig.nothing_is_left().await;
    let took = began.elapsed();
    assert!(took <= CLEAN_WITHIN + SLACK, "{name}: {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_points_it_orphans_nothing_and_makes_nothing_twice() {
    let kills: u64 = std::env::var(KILLS).map_or(KILLS_USUALLY, |text| {
        text.parse().expect("a number of kills")
    });
    let lives = (0..LABS).map(|lab| {
        let share = kills / LABS + u64::from(lab < kills % LABS);
        tokio::spawn(random_deaths(lab, share))
    });
    for life in lives.collect::<Vec<_>>() {
        life.await.expect("a life");
    }
}

async fn random_deaths(seed: u64, kills: u64) {
    let mut luck = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
    let mut draw = move |below: u64| {
        luck ^= luck << 13;
        luck ^= luck >> 7;
        luck ^= luck << 17;
        luck % below
    };
    let mut rig = Rig::start(|order| {
        order.lab.seed = seed;
        let azure = &mut order.azure;
        azure.lost_rate = 0.1;
        azure.late_rate = 0.1;
        azure.fail_rate = 0.1;
        azure.create_ms = MINUTE_MS;
        azure.nic_ms = 10;
    })
    .await;
    let mut uuids = Vec::new();
    for _ in 0..kills {
        let vcpus = u32::try_from(1 << draw(3)).expect("small");
        uuids.push(rig.submit(&container(vcpus, 100 + draw(600))));
        // A random point in the life of the process, its start included.
        tokio::time::sleep(Duration::from_millis(draw(2_500))).await;
        rig.kill_and_start();
    }
    rig.listens().await;
    rig.all_in_state(&uuids, "Complete").await;
    rig.all_is_done().await;
    clean(&rig, &format!("seed {seed}")).await;
}
