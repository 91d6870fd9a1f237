//! What all services share: the world, its clock, and the machines' network.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use dispatch_lab::{Now, World, vm::Ailment, world::Event};
use tokio::{
    net::TcpListener,
    sync::{Notify, broadcast, mpsc},
    task::AbortHandle,
};

use crate::{
    clock::Clock,
    gate::Gate,
    overheard::Ear,
    ssh,
    sshd::{RealVm, Site, Spec},
};

/// Lines that may wait for one exit watch.
pub(crate) const WATCH_LINES_MAX: usize = 1024;
/// Events that a slow listener may fall behind.
const EVENTS_MAX: usize = 4096;

/// What all services share.
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    pub(crate) clock: Clock,
    pub(crate) seed: u64,
    /// The lab's own public key, for machines that were given none.
    pub(crate) public_key: String,
    /// Where machines are real `sshd` processes: what they need to know.
    site: Option<Site>,
    /// Who listens to what comes over the network.
    pub(crate) ear: Ear,
    changed: Notify,
    events: broadcast::Sender<Event>,
}

struct Inner {
    ended: bool,
    world: World,
    machines: BTreeMap<String, Machine>,
    watches: BTreeMap<u64, mpsc::Sender<String>>,
}

/// One machine's network, or the machine itself.
enum Machine {
    Played {
        gate: Arc<Gate>,
        listener: AbortHandle,
    },
    Real(RealVm),
}

impl Machine {
    fn end(self) {
        match self {
            Machine::Played { gate, listener } => {
                listener.abort();
                gate.break_all();
            }
            Machine::Real(vm) => drop(vm),
        }
    }
}

impl Shared {
    pub(crate) fn new(
        world: World,
        seed: u64,
        public_key: String,
        site: Option<Site>,
    ) -> Arc<Shared> {
        Arc::new(Shared {
            inner: Mutex::new(Inner {
                ended: false,
                world,
                machines: BTreeMap::new(),
                watches: BTreeMap::new(),
            }),
            clock: Clock::start(),
            seed,
            public_key,
            site,
            ear: Ear::default(),
            changed: Notify::new(),
            events: broadcast::channel(EVENTS_MAX).0,
        })
    }

    /// Ends all machines, and lets none begin.
    pub(crate) fn end(&self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.ended = true;
        inner.end_machines();
    }

    /// The world's events, from here on.
    pub(crate) fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Does something with the world, and what follows from it for the network.
    pub(crate) fn with<R>(self: &Arc<Shared>, act: impl FnOnce(&mut World, Now) -> R) -> R {
        let result = self.quietly(act);
        self.changed.notify_one();
        result
    }

    /// The same without waking the pump, for the pump itself.
    fn quietly<R>(self: &Arc<Shared>, act: impl FnOnce(&mut World, Now) -> R) -> R {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that the world's time never goes back.
        let result = act(&mut inner.world, self.clock.now());
        for event in inner.world.take_events() {
            self.follow(&mut inner, event);
        }
        result
    }

    /// Registers who gets the lines of an exit watch.
    pub(crate) fn listen_to_watch(&self, watch: u64, lines: mpsc::Sender<String>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.watches.insert(watch, lines);
    }

    /// Forgets an exit watch.
    pub(crate) fn close_watch(self: &Arc<Shared>, watch: u64) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.watches.remove(&watch);
        inner.world.close_watch(watch);
    }

    /// Lets the world go on by itself, for ever.
    pub(crate) async fn pump(self: Arc<Shared>) {
        loop {
            let next = self.quietly(|world, now| {
                world.advance(now);
                world.next_event_at()
            });
            let changed = self.changed.notified();
            match next {
                Some(ms) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(self.clock.instant(ms)) => {}
                        () = changed => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    fn follow(self: &Arc<Shared>, inner: &mut Inner, event: Event) {
        match &event {
            Event::Up { instance, address } => self.open(inner, instance, address),
            Event::Gone { instance, .. } => {
                if let Some(machine) = inner.machines.remove(instance) {
                    machine.end();
                }
            }
            Event::Silence { instance, silent } => {
                if let Some(Machine::Played { gate, .. }) = inner.machines.get(instance) {
                    gate.set_silent(*silent);
                }
            }
            Event::WatchLine { watch, line } => {
                // A reader that has fallen so far behind gets nothing more; its sweep sees to it.
                if inner
                    .watches
                    .get(watch)
                    .is_some_and(|lines| lines.try_send(line.clone()).is_err())
                {
                    inner.watches.remove(watch);
                }
            }
            Event::Broken { instance } => {
                if let Some(Machine::Real(vm)) = inner.machines.get(instance)
                    && let Err(error) = vm.report_broken()
                {
                    tracing::error!(%instance, %error, "a machine cannot be broken");
                }
            }
            Event::Changed { .. } | Event::RestartDispatcher => {}
        }
        // Nobody listening is fine.
        let _ = self.events.send(event);
    }

    /// A machine begins to listen.
    fn open(self: &Arc<Shared>, inner: &mut Inner, instance: &str, address: &str) {
        if inner.ended {
            return;
        }
        let host_key = crate::keys::host_key(self.seed, instance);
        let vm = inner.world.vm(instance);
        // A machine that never speaks is easier played than made.
        if let (Some(site), Some(vm)) = (&self.site, vm)
            && vm.ailment != Ailment::SilentBoot
        {
            let spec = Spec {
                instance,
                address,
                init_script: &vm.init_script,
                public_key: vm.public_key.as_ref().unwrap_or(&self.public_key),
                ailment: vm.ailment,
            };
            match RealVm::start(site, &spec, &host_key) {
                Ok(real) => {
                    inner
                        .machines
                        .insert(instance.to_owned(), Machine::Real(real));
                }
                Err(error) => {
                    tracing::error!(%instance, error = format!("{error:#}"), "a machine cannot start")
                }
            }
            return;
        }
        let bound = std::net::TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        });
        let listener = match bound {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%instance, %address, %error, "a machine cannot listen");
                return;
            }
        };
        let gate = Arc::new(Gate::default());
        let serving = ssh::serve(
            self.clone(),
            listener,
            address.to_owned(),
            host_key,
            gate.clone(),
        );
        let listener = tokio::spawn(serving).abort_handle();
        inner
            .machines
            .insert(instance.to_owned(), Machine::Played { gate, listener });
    }
}

impl Inner {
    fn end_machines(&mut self) {
        for machine in std::mem::take(&mut self.machines).into_values() {
            machine.end();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.end_machines();
    }
}
