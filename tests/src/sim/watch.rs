//! Exit watches: one channel for each instance with something to watch, as the shell keeps them.

use std::{collections::BTreeSet, rc::Rc, time::Duration};

use dispatch_brain::Input;
use dispatch_model::{ContainerId, WorkerId};
use dispatch_runner::WatchLine;
use dispatch_worker::Event;

use super::{
    machines::{Broken, Machines},
    wires::Arrival,
};

/// How long opening the channel may take.
const OPEN_WITHIN: Duration = Duration::from_secs(30);

/// The watch on one instance.
#[derive(Debug, Default)]
pub(super) struct Watch {
    wanted: BTreeSet<ContainerId>,
    opening: bool,
    channel: Option<u64>,
    watched: BTreeSet<ContainerId>,
    reported: BTreeSet<ContainerId>,
}

impl Machines {
    /// Watch these and no others; whether a channel must be opened.
    pub(super) fn watch(&self, worker: WorkerId, containers: Vec<ContainerId>) -> bool {
        let mut lines = self.lines.borrow_mut();
        let Some(line) = lines.get_mut(&worker) else {
            return false;
        };
        let watch = &mut line.watch;
        watch.wanted = containers.into_iter().collect();
        if watch.wanted.is_empty() || !watch.watched.is_subset(&watch.wanted) {
            self.close(watch);
        }
        let open = watch.channel.is_none() && !watch.opening && !watch.wanted.is_empty();
        watch.opening |= open;
        if watch.channel.is_some() {
            self.write(watch);
        }
        open
    }

    /// Opens a channel, and says so.
    pub(super) async fn open_watch(self: Rc<Self>, worker: WorkerId) {
        let open = async {
            self.connect(worker).await?;
            let address = self.address(worker)?;
            if self.silent_until(&address)?.is_some() {
                std::future::pending::<()>().await;
            }
            let by_sudo = !self.login.sudo().is_empty();
            let user = if by_sudo { "root" } else { &self.user };
            let opened = self
                .wires
                .reach_world("watch", |world, now| world.open_watch(&address, user, now))
                .await;
            self.wires.sleep(1).await;
            opened.ok_or(Broken::Disconnected)
        };
        let opened = self.wires.within(OPEN_WITHIN, open).await;
        let works = self.wires.wire(|wire| wire.exit_watch);
        let channel = opened.and_then(Result::ok).filter(|_| works);
        self.wires.arrive(Arrival::Watch(worker, channel));
    }

    /// A channel is open, or could not be opened.
    pub(super) fn watch_opened(&self, worker: WorkerId, channel: Option<u64>) -> Option<Input> {
        let mut lines = self.lines.borrow_mut();
        let Some(line) = lines.get_mut(&worker) else {
            self.close_channel(channel);
            return None;
        };
        let watch = &mut line.watch;
        watch.opening = false;
        if channel.is_none() {
            return Some(Input::Pool(Event::WatchLost { worker }));
        }
        watch.channel = channel;
        if watch.wanted.is_empty() {
            self.close(watch);
        } else {
            self.write(watch);
        }
        None
    }

    /// A channel prints a line.
    pub(super) fn watch_line(&self, channel: u64, text: &str) -> Option<Input> {
        let mut lines = self.lines.borrow_mut();
        let (worker, line) = lines
            .iter_mut()
            .find(|(_, line)| line.watch.channel == Some(channel))?;
        match WatchLine::parse(text) {
            WatchLine::Ended(container) if line.watch.watched.remove(&container) => {
                line.watch.reported.insert(container.clone());
                let worker = *worker;
                Some(Input::Pool(Event::Ended { worker, container }))
            }
            WatchLine::Ended(_) | WatchLine::Remark(_) => None,
        }
    }

    /// Connections to this address have broken.
    pub(super) fn broken(&self, address: &str) -> Vec<Input> {
        let mut lost = Vec::new();
        let workers: Vec<WorkerId> = {
            let mut lines = self.lines.borrow_mut();
            let at_address = lines.iter_mut().filter(|(_, line)| line.address == address);
            at_address
                .map(|(worker, line)| {
                    if line.watch.channel.is_some() {
                        self.close(&mut line.watch);
                        lost.push(Input::Pool(Event::WatchLost { worker: *worker }));
                    }
                    *worker
                })
                .collect()
        };
        for worker in workers {
            self.hang_up(worker);
        }
        lost
    }

    /// The worker is gone.
    pub(super) fn detach(&self, worker: WorkerId) {
        if let Some(mut line) = self.lines.borrow_mut().remove(&worker) {
            self.close(&mut line.watch);
        }
    }

    /// The daemon is dead: its channels end with it.
    pub(super) fn die(&self) {
        for line in self.lines.borrow_mut().values_mut() {
            self.close(&mut line.watch);
        }
    }

    fn write(&self, watch: &mut Watch) {
        let Some(channel) = watch.channel else {
            return;
        };
        watch.reported.retain(|id| watch.wanted.contains(id));
        for id in &watch.wanted {
            if !watch.reported.contains(id) && watch.watched.insert(id.clone()) {
                let now = self.wires.ground.lab_now();
                let mut world = self.wires.ground.world.borrow_mut();
                world.watch_line(channel, id.as_str(), now);
            }
        }
    }

    fn close(&self, watch: &mut Watch) {
        self.close_channel(watch.channel.take());
        watch.watched.clear();
        watch.reported.clear();
    }

    fn close_channel(&self, channel: Option<u64>) {
        if let Some(channel) = channel {
            self.wires.ground.world.borrow_mut().close_watch(channel);
        }
    }
}
