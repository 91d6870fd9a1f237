//! The account: what was made beside the instances themselves, and which call goes where.

use std::{collections::BTreeMap, sync::Arc};

use dispatch_lab::{
    Now, When, World,
    cloud::{CloudAnswer, CloudCall},
};

use super::{
    buckets::Buckets,
    create::Late,
    form::Form,
    settings::{Bad, Ec2Settings, Subnet},
    show,
    volumes::Disk,
};
use crate::http::Reply;

/// A refusal: HTTP status, code, message.
pub(super) type Refusal = (u16, &'static str, String);

/// What the account knows of one instance that the world does not.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) subnet: Option<String>,
    pub(super) zone: String,
    pub(super) key_name: Option<String>,
    pub(super) at_ms: u64,
    pub(super) disks: Vec<Disk>,
    /// Why it died while it was launched.
    pub(super) died: Option<(String, String)>,
}

/// A key pair.
#[derive(Clone, Debug)]
pub(super) struct KeyPair {
    pub(super) fingerprint: String,
    pub(super) tags: BTreeMap<String, String>,
}

/// What a client token was used for.
#[derive(Clone, Debug)]
pub(super) struct Used {
    pub(super) parameters: String,
    pub(super) instance: Option<String>,
    /// What is made of it, now or later.
    pub(super) made: Made,
}

/// The account.
pub(super) struct Account {
    pub(super) settings: Ec2Settings,
    pub(super) made: BTreeMap<String, Made>,
    pub(super) key_pairs: BTreeMap<String, KeyPair>,
    /// By zone and token.
    pub(super) tokens: BTreeMap<(String, String), Used>,
    pub(super) late: Vec<Late>,
    pub(super) calls: BTreeMap<String, (u64, u64)>,
    pub(super) forms: Vec<BTreeMap<String, String>>,
    /// How often each kind of fault has struck, and each refusal was given, by its code.
    pub(super) struck: BTreeMap<&'static str, u64>,
    buckets: Buckets,
    /// What the buckets fill by, if not by the lab's own time.
    pub(super) bucket_clock: Option<Arc<dyn Fn() -> u64 + Send + Sync>>,
    luck: u64,
}

impl Account {
    pub(super) fn new(settings: Ec2Settings, seed: u64) -> Account {
        Account {
            settings,
            made: BTreeMap::new(),
            key_pairs: BTreeMap::new(),
            tokens: BTreeMap::new(),
            late: Vec::new(),
            calls: BTreeMap::new(),
            forms: Vec::new(),
            struck: BTreeMap::new(),
            buckets: Buckets::default(),
            bucket_clock: None,
            luck: seed.wrapping_mul(2).wrapping_add(1),
        }
    }

    /// Answers one call.
    pub(super) fn answer(&mut self, form: &Form, world: &mut World, now: Now) -> Reply {
        self.carry_out_late(world, now);
        self.find_unanswered(world);
        self.forms.push(form.0.clone());
        let action = form.action();
        let throttled = self.is_throttled(form, now);
        let count = self.calls.entry(action.to_owned()).or_default();
        count.0 += 1;
        count.1 += u64::from(throttled);
        if throttled {
            *self.struck.entry("RequestLimitExceeded").or_default() += 1;
            let words = "Request limit exceeded.".to_owned();
            return refused((503, "RequestLimitExceeded", words));
        }
        let is_granted = (self.settings.granted.as_ref()).is_none_or(|all| all.contains(action));
        if self.settings.forbidden.contains(action) || !is_granted {
            let words = "You are not authorized to perform this operation.".to_owned();
            return refused((403, "UnauthorizedOperation", words));
        }
        let bad = self.injected(form).or_else(|| self.drawn(action));
        if let Some(bad) = &bad {
            *self.struck.entry(bad.name()).or_default() += 1;
        }
        match &bad {
            Some(Bad::Refused(status, code, message)) => {
                return xml(*status, show::error(code, message), When::After(0));
            }
            Some(Bad::BadGateway) => {
                return Reply {
                    content_type: "text/html",
                    ..xml(
                        502,
                        "<html><body>Bad Gateway</body></html>".to_owned(),
                        When::After(0),
                    )
                };
            }
            Some(Bad::NotEc2) => {
                let page = "<html><body>Please log in</body></html>";
                return Reply {
                    content_type: "text/html",
                    ..xml(200, page.to_owned(), When::After(0))
                };
            }
            Some(Bad::Late(after_ms)) => {
                self.late.push(Late {
                    due_ms: now.ms + after_ms,
                    form: form.clone(),
                });
                return xml(200, String::new(), When::Cut(5));
            }
            _ => {}
        }
        let (content, when) = match self.carry_out(form, world, now) {
            Ok(done) => done,
            Err(refusal) => {
                *self.struck.entry(refusal.1).or_default() += 1;
                return refused(refusal);
            }
        };
        let document = show::document(action, &content);
        match bad {
            Some(Bad::Lost) => xml(200, document, When::Cut(5)),
            Some(Bad::GaveUp(status)) => Reply {
                content_type: "text/html",
                ..xml(status, "<html><body>Gave up</body></html>".to_owned(), when)
            },
            Some(Bad::CarriedOutBut(status, code)) => {
                let words = "An internal error has occurred";
                xml(status, show::error(&code, words), when)
            }
            Some(Bad::Slow(ms)) => xml(200, document, When::After(ms)),
            Some(Bad::Silent) => xml(200, document, When::Never),
            Some(Bad::CutOff) => {
                let half = document.len() / 2;
                xml(200, document.chars().take(half).collect(), when)
            }
            Some(Bad::NoInstance) => xml(200, show::document(action, "<instancesSet/>"), when),
            _ => xml(200, document, when),
        }
    }

    /// What a call does and says, and when the answer comes.
    pub(super) fn carry_out(
        &mut self,
        form: &Form,
        world: &mut World,
        now: Now,
    ) -> Result<(String, When), Refusal> {
        match form.action() {
            "RunInstances" => self.run_instances(form, world, now),
            "DescribeInstances" => self.describe_instances(form, world, now),
            "TerminateInstances" => {
                self.each_instance(form, "InstanceId", world, now, CloudCall::Destroy)
            }
            "CreateTags" => {
                let tags = form.tags("Tag");
                if tags
                    .keys()
                    .any(|key| key.to_lowercase().starts_with("aws:"))
                {
                    let words = "Tag keys starting with 'aws:' are reserved for internal use";
                    return Err((400, "InvalidParameterValue", words.into()));
                }
                self.each_instance(form, "ResourceId", world, now, |id| {
                    CloudCall::SetTags(id, tags.clone())
                })
            }
            "DescribeKeyPairs" => Ok((self.describe_key_pairs(form), When::After(0))),
            "ImportKeyPair" => self
                .import_key_pair(form)
                .map(|text| (text, When::After(0))),
            "DescribeSubnets" => self
                .describe_subnets(form)
                .map(|text| (text, When::After(0))),
            "DescribeVolumes" => Ok((self.describe_volumes(form, world), When::After(0))),
            "DescribeSpotPriceHistory" => {
                Ok((self.describe_prices(form, world, now), When::After(0)))
            }
            other => Err((
                400,
                "InvalidAction",
                format!("The action {other} is not valid for this web service."),
            )),
        }
    }

    fn each_instance(
        &mut self,
        form: &Form,
        list: &str,
        world: &mut World,
        now: Now,
        call: impl Fn(String) -> CloudCall,
    ) -> Result<(String, When), Refusal> {
        let ids = form.list(list);
        let mut when = When::After(0);
        for id in &ids {
            let missing = || {
                (
                    400,
                    "InvalidInstanceID.NotFound",
                    format!("The instance ID '{id}' does not exist"),
                )
            };
            let known_from = self
                .made
                .get(id)
                .map_or(0, |made| made.at_ms + self.settings.unknown_ms);
            if !world.instances().instances().contains_key(id) || now.ms < known_from {
                return Err(missing());
            }
            let reply = world.cloud(&call(id.clone()), now);
            when = reply.when;
            if let CloudAnswer::Refused(refusal) = &reply.answer {
                // Ending what has ended is fine, and so is tagging it.
                let gone = world.instances().alive(id).is_none();
                if !gone {
                    return Err(show::refusal(refusal));
                }
            }
        }
        let content = if form.action() == "TerminateInstances" {
            show::terminated(&ids)
        } else {
            "<return>true</return>".to_owned()
        };
        Ok((content, when))
    }

    fn describe_key_pairs(&self, form: &Form) -> String {
        let filters = form.filters();
        let names = form.list("KeyName");
        let wanted = |name: &String, pair: &KeyPair| {
            let named = names.is_empty() || names.contains(name);
            named
                && filters.iter().all(|(filter, values)| {
                    filter == "fingerprint" && values.contains(&pair.fingerprint)
                })
        };
        let pairs = self
            .key_pairs
            .iter()
            .filter(|(name, pair)| wanted(name, pair));
        show::key_pairs(pairs)
    }

    fn import_key_pair(&mut self, form: &Form) -> Result<String, Refusal> {
        let name = form.get("KeyName").unwrap_or_default().to_owned();
        if self.key_pairs.contains_key(&name) {
            return Err((
                400,
                "InvalidKeyPair.Duplicate",
                format!("The keypair '{name}' already exists."),
            ));
        }
        // The lab trusts the name: fingerprints are checked against openssl and moto elsewhere.
        let fingerprint = name
            .rsplit("keypair-")
            .next()
            .unwrap_or_default()
            .to_owned();
        let tags = form.tags_for("key-pair");
        let pair = KeyPair { fingerprint, tags };
        let shown = show::key_pair(&name, &pair);
        self.key_pairs.insert(name, pair);
        Ok(shown)
    }

    fn describe_subnets(&self, form: &Form) -> Result<String, Refusal> {
        let wanted = form.list("SubnetId");
        let known = |id: &String| self.settings.subnets.iter().any(|subnet| subnet.id == *id);
        if let Some(unknown) = wanted.iter().find(|id| !known(id)) {
            return Err((
                400,
                "InvalidSubnetID.NotFound",
                format!("The subnet ID '{unknown}' does not exist"),
            ));
        }
        let filters = form.filters();
        let passes = |subnet: &Subnet| {
            filters.iter().all(|(name, values)| {
                name == "subnet-id" && values.iter().any(|id| show::matches(id, &subnet.id))
            })
        };
        let subnets = self.settings.subnets.iter();
        Ok(show::subnets(subnets.filter(|subnet| {
            passes(subnet) && (wanted.is_empty() || wanted.contains(&subnet.id))
        })))
    }

    fn is_throttled(&mut self, form: &Form, now: Now) -> bool {
        let Some(speed) = self.settings.bucket_speed else {
            return false;
        };
        let filtered = !form.filters().is_empty() || form.get("InstanceId.1").is_some();
        let taken = self.settings.taken_by_others;
        let now_ms = match &self.bucket_clock {
            Some(clock) => clock(),
            None => (now.ms as f64 * speed) as u64,
        };
        !self.buckets.lets(form.action(), filtered, taken, now_ms)
    }

    fn injected(&mut self, form: &Form) -> Option<Bad> {
        let subnet = form.get("NetworkInterface.1.SubnetId");
        let injection = self.settings.injections.iter_mut().find(|injection| {
            injection.times > 0
                && injection
                    .action
                    .as_deref()
                    .is_none_or(|action| action == form.action())
                && (injection.subnet.is_none() || injection.subnet.as_deref() == subnet)
        })?;
        if injection.after > 0 {
            injection.after -= 1;
            return None;
        }
        injection.times -= 1;
        Some(injection.bad.clone())
    }

    fn drawn(&mut self, action: &str) -> Option<Bad> {
        if action != "RunInstances" {
            return None;
        }
        let (late, lost) = (self.settings.late_rate, self.settings.lost_rate);
        let failed = self.settings.failed_rate;
        if self.draw() < late {
            Some(Bad::Late(self.settings.late_ms))
        } else if self.draw() < lost {
            Some(Bad::Lost)
        } else {
            let denied = self.settings.denied_rate;
            if failed > 0.0 && self.draw() < failed {
                Some(Bad::CarriedOutBut(500, "InternalError".to_owned()))
            } else if denied > 0.0 && self.draw() < denied {
                let words = "You are not authorized to perform this operation.";
                let code = "UnauthorizedOperation".to_owned();
                Some(Bad::Refused(403, code, words.to_owned()))
            } else {
                None
            }
        }
    }

    /// Between 0 and 1 (xorshift: the same for the same seed and order of calls).
    pub(super) fn draw(&mut self) -> f64 {
        self.luck ^= self.luck << 13;
        self.luck ^= self.luck >> 7;
        self.luck ^= self.luck << 17;
        (self.luck >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn refused((status, code, message): Refusal) -> Reply {
    xml(status, show::error(code, &message), When::After(0))
}

fn xml(status: u16, body: String, when: When) -> Reply {
    Reply {
        status,
        content_type: "text/xml;charset=UTF-8",
        body: body.into_bytes(),
        when,
    }
}
