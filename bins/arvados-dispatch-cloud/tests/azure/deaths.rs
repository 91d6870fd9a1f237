//! The process is killed before, during and after every kind of request of create and delete, and at random points, and
//! started again: nothing is orphaned, and nothing is made twice.

use std::{
    collections::BTreeSet,
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dispatch_lab_net::{AzureBad, AzureInjection};
use tokio::time::Instant;

use crate::support::{MINUTE_MS, Order, Rig, SCALE, container, eventually};

/// How often the process is killed at random points; more with `cargo xtask soak`.
const KILLS: &str = "DISPATCH_AZURE_KILLS";
const KILLS_USUALLY: u64 = 16;
/// So many labs share these kills.
const LABS: u64 = 4;

/// No network interface or disk is orphaned for longer, counted from the restart (a VM is in every list, so that it has an
/// owner): the create deadline, the time that a failed create keeps its network interface, and two garbage collections,
/// 300 s apart; scaled.
const CLEAN_WITHIN: Duration = Duration::from_millis((600 + 180 + 2 * 300) * 1000 / SCALE);
/// What the last look may come late: all else is in the time above.
const SLACK: Duration = Duration::from_secs(2);

/// A kind of request: method, part of the path, and what brings it about.
struct Kind {
    method: &'static str,
    path: &'static str,
    prepare: fn(&mut Order),
    /// While the container runs, somebody drains its VM.
    drains: bool,
}

const fn kind(method: &'static str, path: &'static str, prepare: fn(&mut Order)) -> Kind {
    Kind {
        method,
        path,
        prepare,
        drains: false,
    }
}

fn nothing(_: &mut Order) {}

/// The first create is refused, and its network interface deleted.
fn refused(order: &mut Order) {
    let none_left = AzureBad::Refused(409, "AllocationFailed".to_owned(), String::new());
    order.bad("PUT", "virtualMachines/", 1, none_left);
}

/// The first create is refused for a quota that Azure does not name.
fn over_quota(order: &mut Order) {
    let silent = AzureBad::Refused(409, "QuotaExceeded".to_owned(), String::new());
    order.bad("PUT", "virtualMachines/", 1, silent);
}

/// The first create is accepted and fails.
fn fails(order: &mut Order) {
    order.azure.fail_next = 1;
}

/// The garbage collection finds what VMs leave behind.
fn leftovers(order: &mut Order) {
    order.azure.leaves_leftovers = true;
}

/// Every kind of request that makes, changes or ends a VM, and those that are sent in doubt.
fn kinds() -> Vec<Kind> {
    vec![
        kind("POST", "oauth2", nothing),
        kind("PUT", "networkInterfaces/", nothing),
        kind("GET", "networkInterfaces/", |order| order.azure.nic_ms = 30),
        kind("PUT", "virtualMachines/", nothing),
        kind("GET", "virtualMachines/", |order| {
            order.bad("PUT", "virtualMachines/", 1, AzureBad::Lost);
        }),
        kind("GET", "operations/put-vm", |order| {
            order.azure.create_ms = MINUTE_MS;
        }),
        kind("GET", "operations/delete-vm", |order| {
            order.azure.delete_ms = MINUTE_MS;
        }),
        kind("GET", "instanceView", fails),
        kind("GET", "Microsoft.Compute/virtualMachines", nothing),
        kind("GET", "Microsoft.Network/networkInterfaces", nothing),
        kind("GET", "Microsoft.Compute/disks", nothing),
        kind("GET", "usages", over_quota),
        kind("GET", "skus", nothing),
        Kind {
            drains: true,
            ..kind("PATCH", "tags", nothing)
        },
        kind("DELETE", "virtualMachines/", nothing),
        kind("DELETE", "virtualMachines/", fails),
        kind("DELETE", "networkInterfaces/", refused),
        kind("DELETE", "networkInterfaces/", leftovers),
        kind("DELETE", "disks/", leftovers),
    ]
}

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
        let lives = kinds().into_iter();
        let lives = lives.map(|kind| tokio::spawn(one_death(moment, bad.clone(), kind)));
        for life in lives.collect::<Vec<_>>() {
            life.await.expect("a life");
        }
    }
}

async fn one_death(moment: &'static str, bad: AzureBad, kind: Kind) {
    let (method, path) = (kind.method, kind.path);
    let name = format!("killed {moment} {method} {path}");
    let mut rig = Rig::start_unchecked(|order| {
        // So that no VM goes while its container waits for a busy machine.
        (order.cloud_vms).insert("TimeoutIdle", "5s".to_owned());
        order.azure.injections = vec![AzureInjection::next(method, path, bad)];
        (kind.prepare)(order);
    })
    .await;
    // So long that somebody has the time to drain its VM.
    let uuid = rig.submit(&container(1, if kind.drains { 2_000 } else { 200 }));
    if kind.drains {
        eventually(&format!("{name}: it runs"), || {
            rig.state(&uuid) == "Running"
        })
        .await;
        let vm = rig.azure.vms().remove(0);
        let settings = rig.azure.settings();
        let id = format!(
            "%2Fsubscriptions%2F{}%2FresourceGroups%2Fvms%2Fproviders%2FMicrosoft.Compute%2FvirtualMachines%2F{vm}",
            settings.subscription
        );
        let drain = format!("/arvados/v1/dispatch/instances/drain?instance_id={id}");
        rig.management("POST", &drain);
    }
    eventually(&format!("{name}: the request is sent"), || rig.has_struck()).await;
    let orphans = Orphans::watch();
    rig.kill_and_start_again().await;
    orphans.begin_anew(&rig);
    eventually(&format!("{name}: it ran"), || {
        rig.state(&uuid) == "Complete"
    })
    .await;
    rig.all_is_done().await;
    orphans.judge(&rig, &name).await;
    one_sound_vm(&rig, &name);
}

/// One container, one VM. One that failed, and one that came late, after the next daemon had ordered its own, are extra.
fn one_sound_vm(rig: &Rig, name: &str) {
    let creations = rig.azure.creations();
    let sound = creations.iter().filter(|made| !made.fails && !made.late);
    assert_eq!(sound.count(), 1, "{name}: {creations:?}");
}

/// Watches how long network interfaces and disks belong to no VM. Time in which the machine let nobody run, or not
/// everybody, does not count: in the lab's time, which is so much faster, each second of it would be minutes.
struct Orphans {
    stalled: Arc<AtomicU64>,
    gauge: tokio::task::JoinHandle<()>,
}

impl Orphans {
    fn watch() -> Orphans {
        let stalled = Arc::new(AtomicU64::new(0));
        let gauge = tokio::spawn(gauge(Arc::clone(&stalled)));
        Orphans { stalled, gauge }
    }

    /// The process has begun anew: what is there has its time from here on.
    fn begin_anew(&self, rig: &Rig) {
        self.stalled.store(0, Ordering::Relaxed);
        rig.azure.take_longest_alone_ms();
    }

    /// Nothing is left, and nothing that is gone was orphaned for longer than it may be, since the last process began.
    async fn judge(&self, rig: &Rig, name: &str) -> Duration {
        rig.nothing_is_left().await;
        self.judge_at_work(rig, name)
    }

    /// Nothing has been orphaned for longer than it may be, since the last process began. For how long.
    fn judge_at_work(&self, rig: &Rig, name: &str) -> Duration {
        let longest = Duration::from_millis(rig.azure.take_longest_alone_ms());
        let limit = self.limit();
        assert!(
            longest <= limit,
            "{name}: alone for {longest:?} of {limit:?}"
        );
        longest
    }

    fn limit(&self) -> Duration {
        let stalled = Duration::from_millis(self.stalled.load(Ordering::Relaxed));
        CLEAN_WITHIN + SLACK + stalled * STALLED_TIMES
    }
}

impl Drop for Orphans {
    fn drop(&mut self) {
        self.gauge.abort();
    }
}

/// How many times what one waits, who wants to run, do others that ask each other and wait in turn.
const STALLED_TIMES: u32 = 5;

/// Adds up by how many ms somebody who wants to run is kept waiting.
async fn gauge(stalled: Arc<AtomicU64>) {
    const NAP: Duration = Duration::from_millis(10);
    loop {
        let began = Instant::now();
        tokio::time::sleep(NAP).await;
        let late = began
            .elapsed()
            .saturating_sub(NAP + Duration::from_millis(5));
        let late = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
        stalled.fetch_add(late, Ordering::Relaxed);
    }
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
    let mut struck = BTreeSet::new();
    let (mut made, mut rests, mut longest) = (0, 0, Duration::ZERO);
    for life in lives.collect::<Vec<_>>() {
        let deaths = life.await.expect("a life");
        struck.extend(deaths.struck);
        made += deaths.made;
        rests += deaths.rests;
        longest = longest.max(deaths.longest_alone);
    }
    // For whoever reads the record of a soak.
    let figures = format!(
        "{kills} kills, {made} VMs, {rests} rests, alone for {longest:?} at most of {CLEAN_WITHIN:?}"
    );
    let _ = writeln!(std::io::stderr(), "{figures}");
    assert!(struck.contains("failed"), "{struck:?}");
    // The others are a matter of luck, which a few kills may not have.
    for fault in ["late", "lost", "mistaken"] {
        assert!(
            kills < 100 || struck.contains(fault),
            "{fault} never struck"
        );
    }
}

/// What came of the kills in one lab.
struct Deaths {
    /// The faults that have struck.
    struck: BTreeSet<&'static str>,
    /// VMs.
    made: usize,
    /// How often a process was left alone for so long that it had to clean up after those before.
    rests: u32,
    /// For how long a network interface or disk belonged to no VM at most, since the last process began.
    longest_alone: Duration,
}

/// After so many of these kills a process is left alone for a while.
fn rests_after(kills: u64) -> u64 {
    kills.div_ceil(if kills < 40 { 2 } else { 4 }).max(1)
}

async fn random_deaths(seed: u64, kills: u64) -> Deaths {
    let mut luck = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
    let mut draw = move |below: u64| {
        luck ^= luck << 13;
        luck ^= luck >> 7;
        luck ^= luck << 17;
        luck % below
    };
    let mut rig = Rig::start(|order| {
        order.lab.seed = seed;
        // So that none goes while its container waits for a busy machine.
        order.cloud_vms.insert("TimeoutIdle", "10s".to_owned());
        let azure = &mut order.azure;
        azure.lost_rate = 0.1;
        azure.late_rate = 0.1;
        azure.mistaken_rate = 0.05;
        azure.fail_rate = 0.1;
        azure.fail_next = 1;
        azure.create_ms = MINUTE_MS;
        azure.nic_ms = 10;
        // So that there is something to clean up whenever the process dies.
        azure.leaves_leftovers = true;
    })
    .await;
    let mut uuids = Vec::new();
    let orphans = Orphans::watch();
    let (mut rests, mut longest_alone) = (0, Duration::ZERO);
    for kill in 1..=kills {
        let vcpus = u32::try_from(1 << draw(3)).expect("small");
        uuids.push(rig.submit(&container(vcpus, 100 + draw(600))));
        // A random point in the life of the process, its start included.
        tokio::time::sleep(Duration::from_millis(draw(2_500))).await;
        rig.kill_and_start();
        if kill % rests_after(kills) != 0 || kill == kills {
            continue;
        }
        // What those before have orphaned goes while there is work, not in the end alone.
        rig.listens().await;
        orphans.begin_anew(&rig);
        let began = Instant::now();
        while began.elapsed() <= orphans.limit() {
            uuids.push(rig.submit(&container(1, 100 + draw(600))));
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let name = format!("seed {seed}, after {kill} kills");
        longest_alone = longest_alone.max(orphans.judge_at_work(&rig, &name));
        rests += 1;
    }
    rig.listens().await;
    orphans.begin_anew(&rig);
    rig.all_in_state(&uuids, "Complete").await;
    rig.all_is_done().await;
    let in_the_end = orphans.judge(&rig, &format!("seed {seed}")).await;
    longest_alone = longest_alone.max(in_the_end);
    // No more VMs than containers; those that came late, after the next daemon had ordered its own, and those that
    // failed are extra.
    let creations = rig.azure.creations();
    let sound = creations
        .iter()
        .filter(|made| !made.fails && !made.late)
        .count();
    assert!(
        sound <= uuids.len(),
        "seed {seed}: {sound} VMs for {} containers",
        uuids.len()
    );
    Deaths {
        struck: rig.azure.struck().into_keys().collect(),
        made: creations.len(),
        rests,
        longest_alone,
    }
}
