//! The lab as a whole: starts the services, hands out their addresses, ends them when dropped.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Context;
use dispatch_lab::{Now, Settings, World, world::Event};
use tokio::{net::TcpListener, sync::broadcast, task::JoinSet};

use crate::{
    cluster_config::{ClusterConfig, LabFacts},
    control, faces,
    fleet::Shared,
    http::{self, Handler},
    keys,
    overheard::{Heard, HeardRequest},
    ports::free_port,
    sshd::{self, Site},
    tls,
};

/// How the Arvados API is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// With a certificate that nobody signed; the configuration says `TLS.Insecure: true`.
    Https,
    /// Plain.
    Http,
}

/// What the virtual machines are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum VmKind {
    /// Played by the lab, behind an SSH server of its own.
    InProcess,
    /// A real OpenSSH server each, in namespaces of its own; their files are below this directory, which must not be
    /// below /tmp, /run or /var/lock. Needs root.
    Sshd(PathBuf),
}

/// What to start.
#[derive(Clone, Debug)]
pub struct Lab {
    /// Decides everything in the world.
    pub seed: u64,
    /// The world's settings. The port of the machines is chosen by the lab if it is 0.
    pub settings: Settings,
    /// How the Arvados API is served.
    pub scheme: Scheme,
    /// What the virtual machines are. Real ones reach the Arvados API without TLS.
    pub vms: VmKind,
    /// What the dispatcher's configuration says.
    pub config: ClusterConfig,
}

impl Lab {
    /// A lab with this seed and these settings; TLS; machines on a free port.
    pub fn new(seed: u64, settings: Settings) -> Lab {
        Lab {
            seed,
            settings,
            scheme: Scheme::Https,
            vms: VmKind::InProcess,
            config: ClusterConfig::default(),
        }
    }

    /// Starts it.
    pub async fn start(mut self) -> anyhow::Result<LabHandle> {
        if let VmKind::Sshd(_) = &self.vms {
            sshd::check_host()?;
        }
        let loopback = || TcpListener::bind("127.0.0.1:0");
        if self.settings.vm.port == 0 {
            // Nobody else's: the machines of two labs have the same addresses.
            self.settings.vm.port = free_port().context("find a free port")?;
        }
        let key = keys::dispatcher_key()?;
        let private_key = keys::private_text(&key)?;
        let public_key = keys::public_text(&key)?;
        let (api, cloud, control) = (loopback().await?, loopback().await?, loopback().await?);
        let scheme = if self.scheme == Scheme::Https {
            "https"
        } else {
            "http"
        };
        let api_url = format!("{scheme}://{}", api.local_addr()?);
        let cloud_url = format!("http://{}", cloud.local_addr()?);
        let control_address = control.local_addr()?;
        let config_yaml = self.config.to_yaml(&LabFacts {
            cluster_id: &self.settings.cluster_id,
            system_root_token: &self.settings.system_root_token,
            api_url: &api_url,
            insecure: self.scheme == Scheme::Https,
            cloud_url: &cloud_url,
            ssh_port: self.settings.vm.port,
            private_key: &private_key,
            instance_types: &self.settings.instance_types,
        });

        // The stand-in runner speaks no TLS.
        let (site, plain) = match &self.vms {
            VmKind::InProcess => (None, None),
            VmKind::Sshd(directory) => {
                let plain = loopback().await?;
                let site = Site {
                    directory: directory.clone(),
                    api_url: format!("http://{}", plain.local_addr()?),
                    control_url: format!("http://{control_address}"),
                };
                (Some(site), Some(plain))
            }
        };
        let shared = Shared::new(
            World::new(self.seed, self.settings.clone()),
            self.seed,
            public_key.clone(),
            site,
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(shared.clone().pump());
        let tls = if self.scheme == Scheme::Https {
            Some(tls::acceptor()?)
        } else {
            None
        };
        let arvados = handler(&shared, |shared, request| {
            shared.ear.hear(|| Heard::Api(HeardRequest::from(&request)));
            faces::arvados(shared, request)
        });
        tasks.spawn(http::serve(api, tls, arvados));
        let cloud_face = handler(&shared, |shared, request| {
            shared
                .ear
                .hear(|| Heard::Cloud(HeardRequest::from(&request)));
            faces::cloud(shared, request)
        });
        tasks.spawn(http::serve(cloud, None, cloud_face));
        if let Some(plain) = plain {
            tasks.spawn(http::serve(plain, None, handler(&shared, faces::arvados)));
        }
        let yaml = config_yaml.clone();
        tasks.spawn(http::serve(
            control,
            None,
            handler(&shared, move |shared, request| {
                control::control(shared, &yaml, request)
            }),
        ));
        Ok(LabHandle {
            shared,
            api_url,
            cloud_url,
            control_address,
            config_yaml,
            private_key,
            public_key,
            lab: self,
            _tasks: tasks,
        })
    }
}

fn handler(
    shared: &Arc<Shared>,
    answer: impl Fn(&Arc<Shared>, ::http::Request<bytes::Bytes>) -> http::Reply + Send + Sync + 'static,
) -> Handler {
    let shared = shared.clone();
    Arc::new(move |request| answer(&shared, request))
}

/// A lab that runs. Dropping it ends all its services and breaks all connections.
pub struct LabHandle {
    shared: Arc<Shared>,
    api_url: String,
    cloud_url: String,
    control_address: SocketAddr,
    config_yaml: String,
    private_key: String,
    public_key: String,
    lab: Lab,
    _tasks: JoinSet<()>,
}

impl LabHandle {
    /// The Arvados API.
    pub fn api_url(&self) -> &str {
        &self.api_url
    }

    /// The cloud's API.
    pub fn cloud_url(&self) -> &str {
        &self.cloud_url
    }

    /// The control API.
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control_address)
    }

    /// What this lab was started with.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The cluster configuration for a dispatcher. Contains its token and its key.
    pub fn config_yaml(&self) -> &str {
        &self.config_yaml
    }

    /// The dispatcher's private key, as OpenSSH writes it.
    pub fn private_key(&self) -> &str {
        &self.private_key
    }

    /// Its public half, as a line of authorized_keys.
    pub fn public_key(&self) -> &str {
        &self.public_key
    }

    /// The world's events, from here on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.shared.events()
    }

    /// Keeps every request and every command from here on, as it arrived.
    pub fn overhear(&self) {
        self.shared.ear.open();
    }

    /// What was kept.
    pub fn heard(&self) -> Vec<Heard> {
        self.shared.ear.heard()
    }

    /// What was kept since the last call.
    pub fn take_heard(&self) -> Vec<Heard> {
        self.shared.ear.take()
    }

    /// Does something with the world.
    pub fn world<R>(&self, act: impl FnOnce(&mut World, Now) -> R) -> R {
        self.shared.with(act)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Ends it.
    pub fn shutdown(self) {}
}

impl Drop for LabHandle {
    fn drop(&mut self) {
        // The services hold it for a moment longer: machines are processes, and their files may go right after this.
        self.shared.end();
    }
}
