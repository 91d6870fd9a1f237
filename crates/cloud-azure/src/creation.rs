//! Creating one VM with its network interface: what is asked next, whatever the answers are. Pure.
//!
//! ```text
//! put NIC ──► put VM (If-None-Match: *) ──► ours
//!   │ ▲         │    ▲      │exists
//!   ?│ │absent  ?│   │NIC there ▼
//! get NIC ◄──── get VM ──found──► ours        refused anywhere: delete the NIC, tell the refusal
//!        absent
//! ```
//!
//! A PUT updates what exists, so after an unknown outcome (`?`) we look first, at the VM and then at its interface, and
//! put again only what is not there, the VM with a condition, and neither after somebody asked for the end of this VM.
//! While an earlier PUT of the VM is in doubt, a refusal of a later one settles nothing: only a look does, and the end of
//! the interface, without which the VM cannot be made. That its deletion was accepted is not its end: it is watched until
//! it is gone, since a late PUT of the VM may still take it (NicInUse). If the outcome stays unknown, nothing is cleaned up: the list
//! shows what came of it, and the garbage collection knows the names.

use std::time::Duration;

use dispatch_model::Time;

use crate::lro;

/// So often is anything asked whose outcome stays unknown.
const TRIES: u32 = 3;
/// The pause before it is asked again; twice as long before the next.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// A network interface that is not ready is looked at when Azure says, for so long and so often at most; one that is being
/// deleted as long and as often.
const NIC_WITHIN: Duration = Duration::from_secs(120);
/// The pause between looks at one that is being deleted.
const NIC_GOES: Duration = Duration::from_secs(2);
const NIC_LOOKS: u32 = 60;

/// What to ask Azure.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Ask {
    PutNic,
    GetNic,
    PutVm,
    GetVm,
    DeleteNic,
    /// Whether the interface whose deletion was accepted is gone.
    WatchNic,
}

impl Ask {
    /// Whether it makes something.
    pub(crate) fn makes(self) -> bool {
        matches!(self, Ask::PutNic | Ask::PutVm)
    }
}

/// What an answer means here. `E`: what is known of a refusal.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Heard<E> {
    /// Done, accepted, or there.
    Fine,
    /// The network interface is there and still being made; look again after this time, if Azure says when.
    NotReady(Option<Duration>),
    /// There is none of that name; said of a PUT: something that it needs is not there.
    Absent(E),
    /// It was there already, so nothing was put.
    Exists,
    /// Certainly not done.
    Refused(E),
    /// It was answered as if it had failed, by somebody who may have done it all the same.
    Doubtful(E),
    /// Nobody knows whether it was done.
    Unknown(E),
}

/// What to do next.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Next<E> {
    /// Ask this, not before this time.
    Ask(Ask, Time),
    /// The create has ended.
    Done(Outcome<E>),
}

/// How a create ends.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Outcome<E> {
    /// The VM is accepted or there: it is ours from here on.
    Ours,
    /// There is none, for this reason.
    Refused(E),
    /// Perhaps there is one, perhaps there will be.
    Unknown(E),
    /// Somebody has asked for its end meanwhile. `put`: whether a PUT of the VM was sent, so that there may be one.
    Destroyed { put: bool },
}

/// One create.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Creation<E> {
    asking: Ask,
    /// How often questions stayed without a clear answer.
    unknown: u32,
    pause: Duration,
    nic_looks: u32,
    nic_until: Option<Time>,
    /// A PUT of the network interface was sent that was not refused, so that there may be one.
    nic_may_be: bool,
    /// A PUT of the VM was sent.
    vm_put: bool,
    /// A PUT of the VM was sent whose outcome was unknown.
    vm_in_doubt: bool,
    /// Why there will be no VM, while we make sure of it and clean up.
    refused: Option<E>,
    scale: u32,
}

impl<E: Clone> Creation<E> {
    /// `sent_before`: a create with this secret was sent, and its outcome may be unknown. `scale`: how much faster than
    /// in life the clock runs; 1 but in tests.
    pub(crate) fn begin(sent_before: bool, scale: u32, now: Time) -> (Creation<E>, Next<E>) {
        let asking = if sent_before { Ask::GetVm } else { Ask::PutNic };
        let creation = Creation {
            asking,
            unknown: 0,
            pause: AGAIN_AFTER,
            nic_looks: 0,
            nic_until: None,
            nic_may_be: sent_before,
            vm_put: sent_before,
            vm_in_doubt: sent_before,
            refused: None,
            scale: scale.max(1),
        };
        (creation, Next::Ask(asking, now))
    }

    /// It is time to ask. `destroyed`: somebody has asked for the end of this VM since, after which nothing is put.
    pub(crate) fn asks(&mut self, destroyed: bool) -> Option<Outcome<E>> {
        if destroyed && self.asking.makes() {
            return Some(Outcome::Destroyed { put: self.vm_put });
        }
        self.vm_put |= self.asking == Ask::PutVm;
        None
    }

    /// The last question was answered. `destroyed`: somebody has asked for the end of this VM since.
    pub(crate) fn heard(&mut self, heard: Heard<E>, destroyed: bool, now: Time) -> Next<E> {
        if destroyed && self.asking != Ask::DeleteNic {
            // What is left of it is found by its name.
            return Next::Done(Outcome::Destroyed { put: self.vm_put });
        }
        let is_refused = matches!(heard, Heard::Refused(_) | Heard::Absent(_));
        self.nic_may_be |= self.asking == Ask::PutNic && !is_refused;
        match (self.asking, heard) {
            (Ask::PutNic, Heard::Fine) | (Ask::GetNic, Heard::Fine | Heard::Exists) => {
                self.ask(Ask::PutVm, now)
            }
            (Ask::PutNic | Ask::GetNic, Heard::NotReady(wait)) => self.nic_later(wait, now),
            (Ask::PutNic, Heard::Exists) => self.nic_later(Some(Duration::ZERO), now),
            (Ask::PutNic | Ask::GetNic, Heard::Unknown(error) | Heard::Doubtful(error)) => {
                self.again(Ask::GetNic, error, now)
            }
            (Ask::GetNic, Heard::Absent(_)) => self.ask(Ask::PutNic, now),
            (Ask::PutNic, Heard::Refused(error) | Heard::Absent(error))
            | (Ask::GetNic, Heard::Refused(error)) => {
                // An earlier try may have made one, also if it may not be read.
                if self.nic_may_be || self.vm_in_doubt {
                    self.refuse(error, now)
                } else {
                    Next::Done(Outcome::Refused(error))
                }
            }
            // If it exists: is it ours? It has our name, and that comes from the secret.
            (Ask::PutVm | Ask::GetVm, Heard::Fine | Heard::NotReady(_) | Heard::Exists) => {
                Next::Done(Outcome::Ours)
            }
            (Ask::PutVm, Heard::Unknown(error)) => {
                self.vm_in_doubt = true;
                self.again(Ask::GetVm, error, now)
            }
            (Ask::PutVm, Heard::Doubtful(error)) => {
                self.vm_in_doubt = true;
                self.refuse(error, now)
            }
            (Ask::PutVm, Heard::Refused(error) | Heard::Absent(error)) => self.refuse(error, now),
            (Ask::GetVm, Heard::Unknown(error) | Heard::Doubtful(error)) => {
                self.again(Ask::GetVm, error, now)
            }
            // A PUT of the interface would change one that is there.
            (Ask::GetVm, Heard::Absent(_)) if self.refused.is_none() => self.ask(Ask::GetNic, now),
            (Ask::GetVm, Heard::Absent(_)) => self.ask(Ask::DeleteNic, now),
            (Ask::GetVm, Heard::Refused(error)) => {
                // That we may not look does not mean that there is none.
                let error = self.refused.take().unwrap_or(error);
                Next::Done(Outcome::Unknown(error))
            }
            (Ask::DeleteNic, Heard::Fine) if self.vm_in_doubt => self.watch_nic(now),
            // A VM that comes late after all may hold it: the list will show.
            (Ask::DeleteNic, heard) => {
                let is_gone = matches!(heard, Heard::Fine | Heard::Absent(_));
                self.end_refused(is_gone || !self.vm_in_doubt)
            }
            (Ask::WatchNic, Heard::Absent(_)) => self.end_refused(true),
            (Ask::WatchNic, Heard::Refused(_)) => self.end_refused(false),
            (
                Ask::WatchNic,
                Heard::Fine
                | Heard::NotReady(_)
                | Heard::Exists
                | Heard::Unknown(_)
                | Heard::Doubtful(_),
            ) => self.watch_nic(now),
        }
    }

    fn ask(&mut self, ask: Ask, at: Time) -> Next<E> {
        self.asking = ask;
        Next::Ask(ask, at)
    }

    /// Facts A3: no failed create leaves its network interface behind. But first it must be certain that it has failed.
    fn refuse(&mut self, error: E, now: Time) -> Next<E> {
        self.refused = Some(error);
        if self.vm_in_doubt {
            self.ask(Ask::GetVm, now + AGAIN_AFTER / self.scale)
        } else {
            self.ask(Ask::DeleteNic, now)
        }
    }

    /// Its deletion was accepted, and it is not known to be gone.
    fn watch_nic(&mut self, now: Time) -> Next<E> {
        if self.asking != Ask::WatchNic {
            (self.nic_looks, self.nic_until) = (0, Some(now + NIC_WITHIN / self.scale));
        }
        self.nic_looks += 1;
        if self.nic_looks > NIC_LOOKS || self.nic_until.is_none_or(|until| now >= until) {
            return self.end_refused(false);
        }
        self.ask(Ask::WatchNic, now + NIC_GOES / self.scale)
    }

    /// There will be no VM, if that is certain.
    fn end_refused(&mut self, is_certain: bool) -> Next<E> {
        Next::Done(match self.refused.take() {
            Some(error) if is_certain => Outcome::Refused(error),
            Some(error) => Outcome::Unknown(error),
            None => Outcome::Destroyed { put: self.vm_put },
        })
    }

    fn nic_later(&mut self, wait: Option<Duration>, now: Time) -> Next<E> {
        self.nic_looks += 1;
        let until = *self.nic_until.get_or_insert(now + NIC_WITHIN / self.scale);
        if self.nic_looks > NIC_LOOKS || now >= until {
            // The VM's own refusal will say what is wrong with it.
            return self.ask(Ask::PutVm, now);
        }
        self.ask(Ask::GetNic, now + lro::pause(wait, self.scale))
    }

    fn again(&mut self, ask: Ask, error: E, now: Time) -> Next<E> {
        self.unknown += 1;
        if self.unknown >= TRIES {
            // No VM was put: there is none, whatever became of the interface.
            if !self.vm_put {
                self.refused = Some(error);
                return self.ask(Ask::DeleteNic, now);
            }
            let error = self.refused.take().unwrap_or(error);
            return Next::Done(Outcome::Unknown(error));
        }
        let at = now + self.pause / self.scale;
        self.pause *= 2;
        self.ask(ask, at)
    }
}

#[cfg(test)]
mod tests;
