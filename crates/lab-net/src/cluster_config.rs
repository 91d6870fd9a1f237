//! The cluster configuration that the lab writes for a dispatcher, as an operator would.

use std::fmt::Write;

use dispatch_lab::settings::InstanceType;

/// The driver of the lab's own cloud API.
const LAB: &str = "lab";

/// What goes into the configuration beside the lab's own addresses. Times are written as Arvados writes them ("10s").
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// `host:port` of the dispatcher's management API.
    pub management_address: String,
    /// ManagementToken.
    pub management_token: String,
    /// The user to log in as.
    pub admin_username: String,
    /// DeployRunnerBinary; "" deploys none.
    pub deploy_runner_binary: String,
    /// The driver: `lab` finds the lab's cloud by itself, any other by its own parameters or environment.
    pub driver: String,
    /// Further lines under `DriverParameters`: key and value in YAML.
    pub driver_parameters: Vec<(String, String)>,
    /// Further lines under `Containers.CloudVMs`: key and value in YAML.
    pub cloud_vms: Vec<(String, String)>,
    /// Further lines under `Containers`.
    pub containers: Vec<(String, String)>,
}

impl Default for ClusterConfig {
    fn default() -> ClusterConfig {
        ClusterConfig {
            management_address: "127.0.0.1:9006".into(),
            management_token: "labmanagementtoken0000000000000000000000000000000".into(),
            admin_username: "crunch".into(),
            deploy_runner_binary: String::new(),
            driver: LAB.into(),
            driver_parameters: Vec::new(),
            cloud_vms: Vec::new(),
            containers: Vec::new(),
        }
    }
}

/// What only the lab knows.
pub(crate) struct LabFacts<'a> {
    pub(crate) cluster_id: &'a str,
    pub(crate) system_root_token: &'a str,
    pub(crate) api_url: &'a str,
    pub(crate) insecure: bool,
    pub(crate) cloud_url: &'a str,
    pub(crate) ssh_port: u16,
    pub(crate) private_key: &'a str,
    pub(crate) instance_types: &'a [InstanceType],
}

impl ClusterConfig {
    pub(crate) fn to_yaml(&self, facts: &LabFacts<'_>) -> String {
        let mut yaml = String::from(
            "# Written by arvados-dispatch-lab. A dispatcher needs nothing more.\nClusters:\n",
        );
        let mut line = |depth: usize, text: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(yaml, "{:indent$}{text}", "", indent = depth * 2);
        };
        line(1, format!("{}:", facts.cluster_id));
        line(2, format!("SystemRootToken: {}", facts.system_root_token));
        line(2, format!("ManagementToken: {}", self.management_token));
        line(2, "TLS:".into());
        line(3, format!("Insecure: {}", facts.insecure));
        line(2, "Services:".into());
        line(3, "Controller:".into());
        line(4, format!("ExternalURL: {}", facts.api_url));
        line(3, "DispatchCloud:".into());
        line(4, "InternalURLs:".into());
        line(5, format!("\"http://{}\": {{}}", self.management_address));
        line(2, "Containers:".into());
        line(3, "DispatchPrivateKey: |".into());
        for key_line in facts.private_key.lines() {
            line(4, key_line.into());
        }
        for (key, value) in &self.containers {
            line(3, format!("{key}: {value}"));
        }
        line(3, "CloudVMs:".into());
        line(4, "Enable: true".into());
        line(4, format!("Driver: {}", self.driver));
        line(4, "DriverParameters:".into());
        if self.driver == LAB {
            line(5, format!("Endpoint: {}", facts.cloud_url));
        }
        line(5, format!("AdminUsername: {}", self.admin_username));
        for (key, value) in &self.driver_parameters {
            line(5, format!("{key}: {value}"));
        }
        line(4, "ImageID: lab-image".into());
        line(4, format!("SSHPort: \"{}\"", facts.ssh_port));
        line(
            4,
            format!("DeployRunnerBinary: \"{}\"", self.deploy_runner_binary),
        );
        for (key, value) in &self.cloud_vms {
            line(4, format!("{key}: {value}"));
        }
        line(2, "InstanceTypes:".into());
        for instance_type in facts.instance_types {
            line(3, format!("{}:", instance_type.name));
            line(4, format!("ProviderType: {}", instance_type.provider_type));
            line(4, format!("VCPUs: {}", instance_type.vcpus));
            line(4, format!("RAM: {}", instance_type.ram));
            line(4, format!("IncludedScratch: {}", instance_type.scratch));
            line(4, format!("Price: {:.6}", instance_type.price));
            if instance_type.preemptible {
                line(4, "Preemptible: true".into());
            }
        }
        yaml
    }
}
