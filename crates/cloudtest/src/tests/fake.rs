//! A cloud in memory that fails in one way, and an executor to which every instance agrees.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use dispatch_cloud::{
    CloudError, CreateOrder, Instance, InstanceSet, Tags,
    exec::{Command, Connection, ExecError, Executor, Exit, Lines, Output, Target},
};
use dispatch_model::{CloudErrorClass, InstanceId};
use tokio::time::Instant;

pub(super) struct Fake {
    /// Instances of an earlier test.
    pub(super) left_behind: usize,
    /// How often an instance must be destroyed before it goes.
    pub(super) destroys_needed: usize,
    /// Lists fail from this one on, counted from 0.
    pub(super) lists_fail_from: Option<usize>,
    pub(super) create_answers_never: bool,
    /// Creates are answered with this, and carried out all the same.
    pub(super) create_says: Option<CloudErrorClass>,
    /// How long a new instance stays out of the list.
    pub(super) appears_after: Duration,
    pub(super) has_address: bool,
    pub(super) loses_tag: Option<&'static str>,
    /// From then on no list and no destroy is answered, counted from the create.
    pub(super) hangs_from: Option<Duration>,
    /// So often something that a create has left beside instances cannot be deleted.
    pub(super) leftovers_stay: usize,
    pub(super) state: Mutex<State>,
}

impl Default for Fake {
    fn default() -> Fake {
        Fake {
            left_behind: 0,
            destroys_needed: 1,
            lists_fail_from: None,
            create_answers_never: false,
            create_says: None,
            appears_after: Duration::ZERO,
            has_address: true,
            loses_tag: None,
            hangs_from: None,
            leftovers_stay: 0,
            state: Mutex::default(),
        }
    }
}

#[derive(Default)]
pub(super) struct State {
    rows: BTreeMap<InstanceId, (Instance, Instant, usize)>,
    n_lists: usize,
    n_leftovers: usize,
    began: bool,
    created: Option<Instant>,
}

impl Fake {
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().expect("no panic");
        if !state.began {
            state.began = true;
            for n in 0..self.left_behind {
                let id = InstanceId::from(format!("i-left-{n}"));
                let row = Instance {
                    id: id.clone(),
                    address: String::new(),
                    provider_type: "lab.1".to_owned(),
                    tags: [("ArvadosInstanceSetID".to_owned(), "cloudtest".to_owned())].into(),
                };
                state.rows.insert(id, (row, Instant::now(), 0));
            }
        }
        state
    }

    async fn perhaps_hang(&self) {
        let created = self.state().created;
        let hangs = |from| created.is_some_and(|created: Instant| created.elapsed() >= from);
        if self.hangs_from.is_some_and(hangs) {
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn alive(&self) -> usize {
        self.state().rows.len()
    }

    pub(super) fn lists(&self) -> usize {
        self.state().n_lists
    }
}

#[async_trait]
impl InstanceSet for Fake {
    async fn create(&self, order: CreateOrder) -> Result<Instance, CloudError> {
        let id = InstanceId::from("i-1");
        let mut row = Instance {
            id: id.clone(),
            address: String::new(),
            provider_type: order.instance_type.provider_type,
            tags: order.tags,
        };
        if let Some(tag) = self.loses_tag {
            row.tags.remove(tag);
        }
        self.state().created = Some(Instant::now());
        let shown_at = Instant::now() + self.appears_after;
        self.state().rows.insert(id, (row.clone(), shown_at, 0));
        if self.create_answers_never {
            std::future::pending::<()>().await;
        }
        if let Some(class) = &self.create_says {
            return Err(CloudError::new(class.clone(), "not today"));
        }
        Ok(row)
    }

    async fn list(&self, _: &Tags) -> Result<Vec<Instance>, CloudError> {
        self.perhaps_hang().await;
        let mut state = self.state();
        let n = state.n_lists;
        state.n_lists += 1;
        if self.lists_fail_from.is_some_and(|from| n >= from) {
            return Err(CloudError::new(CloudErrorClass::Transient, "no list today"));
        }
        let now = Instant::now();
        let shown = state.rows.values().filter(|(_, at, _)| *at <= now);
        Ok(shown
            .map(|(row, _, _)| {
                let mut row = row.clone();
                if self.has_address {
                    row.address = "127.0.0.2:22".to_owned();
                }
                row
            })
            .collect())
    }

    async fn set_tags(&self, id: &InstanceId, tags: &Tags) -> Result<(), CloudError> {
        if let Some((row, _, _)) = self.state().rows.get_mut(id) {
            row.tags.extend(tags.clone());
        }
        Ok(())
    }

    async fn destroy(&self, id: &InstanceId) -> Result<(), CloudError> {
        self.perhaps_hang().await;
        let mut state = self.state();
        if let Some((_, _, destroys)) = state.rows.get_mut(id) {
            *destroys += 1;
            if *destroys >= self.destroys_needed {
                state.rows.remove(id);
            }
        }
        Ok(())
    }

    fn remote_user(&self) -> String {
        "crunch".to_owned()
    }

    async fn leftovers(&self) -> Result<Vec<String>, CloudError> {
        let mut state = self.state();
        state.n_leftovers += 1;
        let stays = state.n_leftovers <= self.leftovers_stay;
        Ok(stays
            .then(|| "interface x".to_owned())
            .into_iter()
            .collect())
    }
}

/// Every command succeeds.
pub(super) struct Agreeable;

impl Executor for Agreeable {
    fn connection(&self, _: Target) -> Arc<dyn Connection> {
        Arc::new(Agreeable)
    }
}

#[async_trait]
impl Connection for Agreeable {
    fn set_address(&self, _: &str) {}

    async fn connect(&self, _: Duration) -> Result<(), ExecError> {
        Ok(())
    }

    async fn run(&self, _: Command) -> Result<Output, ExecError> {
        Ok(Output {
            exit: Exit::Status(0),
            stdout: Bytes::new(),
            stderr: Bytes::new(),
            truncated: false,
        })
    }

    async fn upload(&self, command: Command) -> Result<Output, ExecError> {
        self.run(command).await
    }

    async fn lines(&self, _: &str, _: Duration) -> Result<Box<dyn Lines>, ExecError> {
        Err(ExecError::NoAddress)
    }

    fn close(&self) {}
}
