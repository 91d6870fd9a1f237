//! What the world tells by itself: machines that come, go and fall silent, lines of watches, restarts.

use dispatch_lab::world::Event;

use super::{stage::Sim, wires::Arrival};

impl Sim {
    /// Lets the world's own agenda happen, and takes its news; whether there was any.
    pub(super) fn take_news(&mut self) -> bool {
        let now = self.ground.lab_now();
        let events = {
            let mut world = self.ground.world.borrow_mut();
            world.advance(now);
            world.take_events()
        };
        let any = !events.is_empty();
        for event in events {
            self.trace.note(now.ms, || format!("{event:?}"));
            self.checks.happened(&event, now.ms);
            self.pass_on(&event);
            self.news.push(event);
        }
        any
    }

    fn pass_on(&mut self, event: &Event) {
        match event {
            Event::WatchLine { watch, line } => {
                if let Some(daemon) = &self.daemon
                    && let Some(input) = daemon.machines.watch_line(*watch, line)
                {
                    daemon.wires.answer(input);
                }
            }
            Event::Gone { address, .. } => self.line_broken(address),
            Event::Silence {
                instance,
                silent: true,
            } => {
                if let Some(daemon) = &self.daemon {
                    let (wires, instance) = (daemon.wires.clone(), instance.clone());
                    self.tasks.spawn(async move {
                        wires.sleep(wires.wire(|wire| wire.keep_alive_ms)).await;
                        wires.arrive(Arrival::KeepAlive(instance));
                    });
                }
            }
            Event::RestartDispatcher => self.restart_daemon(),
            Event::Changed { uuid, .. } => {
                let world = self.ground.world.borrow();
                let story = world.judge().story(uuid);
                assert!(
                    !story.is_some_and(|story| story.twice),
                    "{uuid} ran twice: {story:?}"
                );
            }
            Event::Up { .. } | Event::Silence { .. } | Event::Broken { .. } => {}
        }
    }

    pub(super) fn line_broken(&mut self, address: &str) {
        if let Some(daemon) = &self.daemon {
            for input in daemon.machines.broken(address) {
                daemon.wires.answer(input);
            }
        }
    }

    /// The keep-alives have found out about a silent instance.
    pub(super) fn keep_alive_failed(&mut self, instance: &str) {
        let now = self.ground.lab_now();
        let address = {
            let world = self.ground.world.borrow();
            let silent = world.vm(instance).filter(|vm| vm.is_silent(now));
            silent.map(|vm| vm.address.clone())
        };
        if let Some(address) = address {
            self.line_broken(&address);
        }
    }
}
