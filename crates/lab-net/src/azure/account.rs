//! The subscription: what there is, which request goes where, and what every request is checked for first.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use dispatch_lab::{Now, When, World};
use http::Request;
use serde_json::{Value, json};

use super::{
    buckets::Buckets,
    path::{ArmPath, Target},
    refusal::Refusal,
    settings::{AzureBad, AzureSettings},
    things::{Disk, Nic, Operation, Vm},
};
use crate::{
    faces::decoded,
    http::{Headers, Reply},
};

/// Requests beyond which nothing more is kept.
const REQUESTS_MAX: usize = 100_000;

/// Lists beyond which the oldest that somebody reads page by page is forgotten.
const LISTS_MAX: usize = 100;

/// A request, as it arrived.
#[derive(Clone, PartialEq, Debug)]
pub struct AzureRequest {
    /// GET, PUT, PATCH, DELETE, POST.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Decoded.
    pub query: BTreeMap<String, String>,
    /// Some of the headers, by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// JSON; null if there is none.
    pub body: Value,
    /// A form, where it is one.
    pub form: BTreeMap<String, String>,
}

/// A VM that was made: one that was not there was put, and accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AzureCreation {
    /// Its lower-case name.
    pub vm: String,
    /// Whether its request was cut off before and carried out late.
    pub late: bool,
    /// Whether it was to fail.
    pub fails: bool,
}

impl AzureRequest {
    fn read(request: &Request<Bytes>) -> AzureRequest {
        let form = |text: &str| {
            text.split('&')
                .filter_map(|pair| pair.split_once('='))
                .map(|(key, value)| (decoded(key), decoded(value)))
                .collect::<BTreeMap<String, String>>()
        };
        let text = String::from_utf8_lossy(request.body());
        let headers = request.headers().iter().filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        });
        AzureRequest {
            method: request.method().as_str().to_owned(),
            path: request.uri().path().to_owned(),
            query: form(request.uri().query().unwrap_or_default()),
            headers: headers.collect(),
            body: serde_json::from_str(&text).unwrap_or_default(),
            form: form(&text),
        }
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(String::as_str)
            .unwrap_or_default()
    }

    pub(super) fn query(&self, name: &str) -> &str {
        self.query.get(name).map(String::as_str).unwrap_or_default()
    }
}

/// What a request has come to.
pub(super) struct Done {
    pub(super) status: u16,
    /// Null: no body.
    pub(super) body: Value,
    /// An operation that goes on: its name and provider.
    pub(super) operation: Option<(String, &'static str)>,
    pub(super) when: When,
}

impl Done {
    pub(super) fn at_once(status: u16, body: Value) -> Done {
        Done {
            status,
            body,
            operation: None,
            when: When::After(0),
        }
    }
}

/// A request that is carried out later than it was sent.
pub(super) struct Late {
    due_ms: u64,
    request: AzureRequest,
}

/// The subscription.
pub(super) struct Account {
    pub(super) settings: AzureSettings,
    /// Where we are served: "http://127.0.0.1:1234".
    pub(super) url: String,
    /// By lower-case name, as everything here.
    pub(super) vms: BTreeMap<String, Vm>,
    /// Ordered, and the order is still on its way.
    pub(super) coming: BTreeMap<String, Vm>,
    pub(super) nics: BTreeMap<String, Nic>,
    pub(super) disks: BTreeMap<String, Disk>,
    pub(super) operations: BTreeMap<String, Operation>,
    /// Tokens, and until when they are good, ms.
    pub(super) tokens: BTreeMap<String, u64>,
    pub(super) n_tokens: u64,
    late: Vec<Late>,
    pub(super) calls: BTreeMap<String, (u64, u64)>,
    pub(super) actions: BTreeSet<String>,
    pub(super) requests: Vec<AzureRequest>,
    /// Every VM that was made, in order.
    pub(super) creations: Vec<AzureCreation>,
    /// For how long anything has been alone at most, of what is gone, ms; counted from then.
    pub(super) longest_alone_ms: u64,
    pub(super) alone_from_ms: u64,
    /// A request is carried out that was cut off before.
    pub(super) is_late: bool,
    /// How often each fault has struck.
    pub(super) struck: BTreeMap<&'static str, u64>,
    /// Lists that are read page by page.
    lists: BTreeMap<u64, Vec<Value>>,
    n_lists: u64,
    buckets: Buckets,
    n_operations: u64,
    luck: u64,
}

impl Account {
    pub(super) fn new(settings: AzureSettings, url: String, seed: u64) -> Account {
        Account {
            settings,
            url,
            vms: BTreeMap::new(),
            coming: BTreeMap::new(),
            nics: BTreeMap::new(),
            disks: BTreeMap::new(),
            operations: BTreeMap::new(),
            tokens: BTreeMap::new(),
            n_tokens: 0,
            late: Vec::new(),
            calls: BTreeMap::new(),
            actions: BTreeSet::new(),
            requests: Vec::new(),
            creations: Vec::new(),
            longest_alone_ms: 0,
            alone_from_ms: 0,
            is_late: false,
            struck: BTreeMap::new(),
            lists: BTreeMap::new(),
            n_lists: 0,
            buckets: Buckets::default(),
            n_operations: 0,
            luck: seed.wrapping_mul(2).wrapping_add(1),
        }
    }

    /// Answers one request.
    pub(super) fn answer(
        &mut self,
        request: &Request<Bytes>,
        world: &mut World,
        now: Now,
    ) -> (Reply, Headers) {
        let request = AzureRequest::read(request);
        self.advance(world, now);
        self.carry_out_late(world, now);
        self.end_nics(now);
        if self.requests.len() < REQUESTS_MAX {
            self.requests.push(request.clone());
        }
        if is_for_token(&request) {
            let bad = self.injected(&request);
            if let Some(reply) = bad.as_ref().and_then(not_carried_out) {
                return (reply, Headers::new());
            }
            if let Some(reply) = self.token(&request, now) {
                return spoilt(reply, bad);
            }
        }
        let (path, left) = match self.admit(&request, now) {
            Ok(admitted) => admitted,
            Err(refusal) => return self.refused(&refusal),
        };
        let bad = self
            .injected(&request)
            .or_else(|| self.drawn(&request.method));
        match &bad {
            Some(AzureBad::Refused(status, code, message)) => {
                return self.refused(&Refusal::new(*status, code, message));
            }
            Some(AzureBad::Throttled(retry_after)) => {
                let mut refusal = Refusal::throttled_by_compute("PutVM");
                refusal.retry_after.clone_from(retry_after);
                return self.refused(&refusal);
            }
            Some(bad @ (AzureBad::BadGateway | AzureBad::Stranger(_) | AzureBad::Unheard)) => {
                if let Some(reply) = not_carried_out(bad) {
                    return (reply, Headers::new());
                }
            }
            Some(AzureBad::Late(after_ms)) => {
                self.late.push(Late {
                    due_ms: now.ms.saturating_add(*after_ms),
                    request,
                });
                let reply = Reply {
                    when: When::Cut(5),
                    ..Reply::json(200, &Value::Null)
                };
                return (reply, Headers::new());
            }
            _ => {}
        }
        let done = match self.carry_out(&request, &path, world, now) {
            Ok(done) => done,
            Err(refusal) => return self.refused(&refusal),
        };
        if let Some(AzureBad::Mistaken(status, code, message)) = &bad {
            return self.refused(&Refusal::new(*status, code, message));
        }
        let (mut reply, mut headers) = self.reply(&request, done);
        headers.push((remaining(&request.method), left.to_string()));
        match bad {
            Some(AzureBad::Lost) => reply.when = When::Cut(5),
            Some(AzureBad::Silent) => reply.when = When::Never,
            Some(AzureBad::CutOff) => reply.body.truncate(reply.body.len() / 2),
            _ => {}
        }
        (reply, headers)
    }

    /// Who asks, for what, in which version, how often, and may they?
    fn admit(&mut self, request: &AzureRequest, now: Now) -> Result<(ArmPath, u64), Refusal> {
        self.check_token(request, now)?;
        let path = ArmPath::read(&request.path).ok_or_else(|| {
            Refusal::new(
                404,
                "InvalidResourceType",
                format!("The resource type could not be found: {}", request.path),
            )
        })?;
        let kind = format!("{} {}", request.method, kind(&path.target));
        self.calls.entry(kind.clone()).or_default().0 += 1;
        check_version(request.query("api-version"))?;
        if !path
            .subscription
            .eq_ignore_ascii_case(&self.settings.subscription)
        {
            let words = format!(
                "The subscription '{}' could not be found.",
                path.subscription
            );
            return Err(Refusal::new(404, "SubscriptionNotFound", words));
        }
        if let Some(group) = &path.group
            && !self
                .settings
                .resource_groups
                .iter()
                .any(|known| known.eq_ignore_ascii_case(group))
        {
            let words = format!("Resource group '{group}' could not be found.");
            return Err(Refusal::new(404, "ResourceGroupNotFound", words));
        }
        let left = self.throttle(request, &path, &kind, now)?;
        for action in actions(request, &path) {
            if self.settings.forbidden.contains(action) {
                let words = format!(
                    "The client 'lab' with object id 'lab' does not have authorization to perform action '{action}' over scope '{}' or the scope is invalid.",
                    request.path
                );
                return Err(Refusal::new(403, "AuthorizationFailed", words));
            }
            self.actions.insert(action.to_owned());
        }
        Ok((path, left))
    }

    fn throttle(
        &mut self,
        request: &AzureRequest,
        path: &ArmPath,
        kind: &str,
        now: Now,
    ) -> Result<u64, Refusal> {
        let Some(speed) = self.settings.bucket_speed else {
            return Ok(11_999);
        };
        let vm = match &path.target {
            Target::Vm(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        };
        self.buckets
            .lets(&request.method, vm.as_deref(), speed, now.ms)
            .map_err(|throttled| {
                self.calls.entry(kind.to_owned()).or_default().1 += 1;
                let mut refusal = if throttled.by_compute {
                    Refusal::throttled_by_compute(&throttled.bucket)
                } else {
                    Refusal::throttled_by_arm(&throttled.bucket)
                };
                refusal.retry_after = match &self.settings.throttle_header {
                    Some(header) => header.clone(),
                    None => Some(throttled.secs.max(1).to_string()),
                };
                refusal
            })
    }

    /// What was alone since then is gone, or belongs to a VM.
    pub(super) fn was_alone(&mut self, since_ms: Option<u64>, now_ms: u64) {
        let Some(since_ms) = since_ms else { return };
        let alone = now_ms.saturating_sub(since_ms.max(self.alone_from_ms));
        self.longest_alone_ms = self.longest_alone_ms.max(alone);
    }

    pub(super) fn take_longest_alone_ms(&mut self, now_ms: u64) -> u64 {
        let nics = self.nics.values().map(|nic| nic.alone_ms);
        let disks = self.disks.values().map(|disk| disk.alone_ms);
        for since_ms in nics.chain(disks).collect::<Vec<_>>() {
            self.was_alone(since_ms, now_ms);
        }
        self.alone_from_ms = now_ms;
        std::mem::take(&mut self.longest_alone_ms)
    }

    pub(super) fn n_late(&self) -> usize {
        self.late.len()
    }

    pub(super) fn hurry_what_is_late(&mut self) {
        for late in &mut self.late {
            late.due_ms = 0;
        }
    }

    fn carry_out_late(&mut self, world: &mut World, now: Now) {
        let (due, later) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|late| late.due_ms <= now.ms);
        self.late = later;
        for late in due {
            if let Some(path) = ArmPath::read(&late.request.path) {
                // Whatever it brings, nobody hears of it.
                self.is_late = true;
                let _ = self.carry_out(&late.request, &path, world, now);
                self.is_late = false;
            }
        }
    }

    fn carry_out(
        &mut self,
        request: &AzureRequest,
        path: &ArmPath,
        world: &mut World,
        now: Now,
    ) -> Result<Done, Refusal> {
        let found = |body: Value| Ok(Done::at_once(200, body));
        match (request.method.as_str(), &path.target) {
            ("PUT", Target::Vm(name)) => self.put_vm(request, name, world, now),
            ("GET", Target::Vm(name)) => {
                let vm = self.get_vm(name, world, now);
                if vm.is_err() && self.vms.contains_key(&name.to_ascii_lowercase()) {
                    self.strike("unknown");
                }
                found(vm?)
            }
            ("GET", Target::InstanceView(name)) => found(self.instance_view(name, world, now)?),
            ("PATCH", Target::Vm(name)) => self.patch_vm(request, name, world, now),
            ("DELETE", Target::Vm(name)) => self.delete_vm(name, world, now),
            ("GET", Target::Vms) => {
                let (rows, when) = self.list_vms(world, now)?;
                Ok(Done {
                    when,
                    ..Done::at_once(200, self.page(request, rows))
                })
            }
            ("PUT", Target::Nic(name)) => self.put_nic(request, name, world, now),
            ("GET", Target::Nic(name)) => found(self.get_nic(name, world, now)?),
            ("DELETE", Target::Nic(name)) => self.delete_nic(name, now),
            ("GET", Target::Nics) => {
                let rows = self.list_nics(world, now);
                found(self.page(request, rows))
            }
            ("GET", Target::Disks) => {
                let rows = self.list_disks();
                found(self.page(request, rows))
            }
            ("DELETE", Target::Disk(name)) => self.delete_disk(name, now),
            ("GET", Target::Usages(location)) => found(self.usages(location, world)?),
            ("GET", Target::Skus) => found(self.skus(world)),
            ("GET", Target::Operation(id)) => self.operation(id, now),
            ("PATCH", Target::Tags(of)) => self.patch_tags(request, of, world, now),
            (method, _) => Err(Refusal::new(
                405,
                "MethodNotAllowed",
                format!("The requested resource does not support http method '{method}'."),
            )),
        }
    }

    /// One page of a list, with a link to the next (learn.microsoft.com/rest/api/azure/#process-the-response). What is made or ends while somebody turns the pages neither hides
    /// nor doubles a row: later pages are of the list as it was.
    fn page(&mut self, request: &AzureRequest, rows: Vec<Value>) -> Value {
        let size = self.settings.page.max(1);
        let token = request.query("$skiptoken").split_once('-');
        let known = token.and_then(|(list, start)| {
            let list: u64 = list.parse().ok()?;
            Some((list, start.parse().ok()?, self.lists.get(&list)?.clone()))
        });
        let (list, start, rows): (u64, usize, Vec<Value>) = known.unwrap_or_else(|| {
            self.n_lists += 1;
            (self.n_lists, 0, rows)
        });
        let shown: Vec<Value> = rows.iter().skip(start).take(size).cloned().collect();
        let mut body = json!({ "value": shown });
        let next = if rows.len().saturating_sub(start) > size {
            Some(start + size)
        } else {
            self.settings.repeats_page.then_some(start)
        };
        let next = if self.settings.first_page_repeats {
            next.map(|_| start)
        } else {
            next
        };
        if let Some(next) = next {
            self.lists.insert(list, rows);
            while self.lists.len() > LISTS_MAX {
                self.lists.pop_first();
            }
            let version = request.query("api-version");
            body["nextLink"] = json!(format!(
                "{}{}?api-version={version}&$skiptoken={list}-{next}",
                self.named_at(),
                request.path
            ));
        }
        body
    }

    /// A fault has struck.
    pub(super) fn strike(&mut self, fault: &'static str) {
        *self.struck.entry(fault).or_default() += 1;
    }

    /// Others of the subscription have put so many VMs.
    pub(super) fn others_put(&mut self, vms: u32, now_ms: u64) {
        self.buckets.others_put(vms, now_ms);
    }

    /// Where next pages and operations are named.
    fn named_at(&self) -> &str {
        self.settings.named_host.as_deref().unwrap_or(&self.url)
    }

    /// Begins an operation of this kind that ends then, in this way.
    pub(super) fn begin(&mut self, kind: &str, operation: Operation) -> String {
        self.n_operations += 1;
        let id = format!("{kind}-{:08}", self.n_operations);
        self.operations.insert(id.clone(), operation);
        id
    }

    fn reply(&self, request: &AzureRequest, done: Done) -> (Reply, Headers) {
        let mut headers = self.common_headers();
        if let Some((id, provider)) = &done.operation
            && !self.settings.no_operations
        {
            let place = format!(
                "{}/subscriptions/{}/providers/{provider}/locations/{}",
                self.named_at(),
                self.settings.subscription,
                self.settings.location
            );
            let version = request.query("api-version");
            headers.push((
                "azure-asyncoperation",
                format!("{place}/operations/{id}?api-version={version}"),
            ));
            if done.status == 202 {
                headers.push((
                    "location",
                    format!("{place}/operations/{id}?monitor=true&api-version={version}"),
                ));
            }
        }
        if done.operation.is_some() || done.body["status"] == "InProgress" {
            headers.extend(
                self.settings
                    .retry_after
                    .map(|secs| ("retry-after", secs.to_string())),
            );
        }
        let reply = if done.body.is_null() {
            Reply {
                status: done.status,
                content_type: "",
                body: Vec::new(),
                when: done.when,
            }
        } else {
            Reply {
                when: done.when,
                ..Reply::json(done.status, &done.body)
            }
        };
        (reply, headers)
    }

    fn refused(&self, refusal: &Refusal) -> (Reply, Headers) {
        let mut headers = self.common_headers();
        headers.extend(
            refusal
                .retry_after
                .clone()
                .map(|text| ("retry-after", text)),
        );
        (Reply::json(refusal.status, &refusal.body()), headers)
    }

    fn common_headers(&self) -> Headers {
        vec![(
            "x-ms-request-id",
            format!("00000000-0000-4000-8000-{:012}", self.requests.len()),
        )]
    }

    fn injected(&mut self, request: &AzureRequest) -> Option<AzureBad> {
        let path = request.path.to_ascii_lowercase();
        let injection = self.settings.injections.iter_mut().find(|injection| {
            injection.times > 0
                && injection.method == request.method
                && path.contains(&injection.path.to_ascii_lowercase())
        })?;
        injection.times -= 1;
        Some(injection.bad.clone())
    }

    fn drawn(&mut self, method: &str) -> Option<AzureBad> {
        let throttled = self.settings.throttle_rate;
        if throttled > 0.0 && self.draw() < throttled {
            self.strike("throttled");
            return Some(AzureBad::Throttled(Some("5".to_owned())));
        }
        if method == "GET" {
            return None;
        }
        let (late, lost) = (self.settings.late_rate, self.settings.lost_rate);
        let mistaken = self.settings.mistaken_rate;
        if self.draw() < late {
            self.strike("late");
            Some(AzureBad::Late(50))
        } else if self.draw() < lost {
            self.strike("lost");
            Some(AzureBad::Lost)
        } else if mistaken > 0.0 && self.draw() < mistaken {
            self.strike("mistaken");
            let words = "An internal error occurred.".to_owned();
            Some(AzureBad::Mistaken(
                500,
                "InternalServerError".to_owned(),
                words,
            ))
        } else {
            None
        }
    }

    /// Between 0 and 1 (xorshift: the same for the same seed and order of requests).
    pub(super) fn draw(&mut self) -> f64 {
        self.luck ^= self.luck << 13;
        self.luck ^= self.luck >> 7;
        self.luck ^= self.luck << 17;
        (self.luck >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn is_for_token(request: &AzureRequest) -> bool {
    request.path.ends_with("/oauth2/token") || request.path.ends_with("/oauth2/v2.0/token")
}

/// A token that was given, and what goes wrong with the answer.
fn spoilt(mut reply: Reply, bad: Option<AzureBad>) -> (Reply, Headers) {
    let mut headers = Headers::new();
    match bad {
        None | Some(AzureBad::Fine) => {}
        // A token that is made late is nobody's.
        Some(AzureBad::Lost | AzureBad::Late(_)) => reply.when = When::Cut(5),
        Some(AzureBad::Silent) => reply.when = When::Never,
        Some(AzureBad::CutOff) => reply.body.truncate(reply.body.len() / 2),
        Some(AzureBad::Mistaken(status, code, message)) => {
            let words = json!({"error": code, "error_description": message});
            reply = Reply::json(status, &words);
        }
        Some(AzureBad::Throttled(retry_after)) => {
            let words = json!({"error": "temporarily_unavailable", "error_description": ""});
            reply = Reply::json(429, &words);
            headers.extend(retry_after.map(|text| ("retry-after", text)));
        }
        // These have been answered before there was a token.
        Some(
            AzureBad::Refused(..)
            | AzureBad::BadGateway
            | AzureBad::Stranger(_)
            | AzureBad::Unheard,
        ) => {}
    }
    (reply, headers)
}

/// The answer, where the request is not carried out.
fn not_carried_out(bad: &AzureBad) -> Option<Reply> {
    let page = |status: u16| Reply {
        status,
        content_type: "text/html",
        body: b"<html><body>This is not Azure.</body></html>".to_vec(),
        when: When::After(0),
    };
    match bad {
        AzureBad::BadGateway => Some(page(502)),
        AzureBad::Stranger(status) => Some(page(*status)),
        AzureBad::Unheard => Some(Reply {
            when: When::Never,
            ..Reply::json(200, &Value::Null)
        }),
        // Of tokens alone: their errors have another form.
        AzureBad::Refused(status, code, message) => Some(Reply::json(
            *status,
            &json!({"error": code, "error_description": message}),
        )),
        _ => None,
    }
}

/// `api-version` is a date, of a version that there is.
fn check_version(version: &str) -> Result<(), Refusal> {
    if version.is_empty() {
        return Err(Refusal::new(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        ));
    }
    let date: Option<jiff::civil::Date> = version
        .get(..10)
        .and_then(|date| date.parse().ok())
        .filter(|_| version.len() == 10);
    if date.is_some() && ("2015-06-15".."2027-01-01").contains(&version) {
        return Ok(());
    }
    let words = format!("The api-version '{version}' is invalid.");
    Err(Refusal::new(400, "InvalidApiVersionParameter", words))
}

/// What the one who asks must be allowed to do
/// (learn.microsoft.com/azure/role-based-access-control/permissions/compute and …/networking).
fn actions(request: &AzureRequest, path: &ArmPath) -> Vec<&'static str> {
    match (request.method.as_str(), &path.target) {
        ("GET", Target::Vms | Target::Vm(_)) => vec!["Microsoft.Compute/virtualMachines/read"],
        ("GET", Target::InstanceView(_)) => {
            vec!["Microsoft.Compute/virtualMachines/instanceView/read"]
        }
        ("PUT", Target::Vm(_)) => {
            let image = &request.body["properties"]["storageProfile"]["imageReference"]["id"];
            let gallery = image
                .as_str()
                .is_some_and(|id| id.to_ascii_lowercase().contains("/galleries/"));
            let image = if gallery {
                "Microsoft.Compute/galleries/images/versions/read"
            } else {
                "Microsoft.Compute/images/read"
            };
            vec![
                "Microsoft.Compute/virtualMachines/write",
                "Microsoft.Compute/disks/write",
                "Microsoft.Network/networkInterfaces/join/action",
                image,
            ]
        }
        ("PATCH", Target::Vm(_)) => vec!["Microsoft.Compute/virtualMachines/write"],
        ("DELETE", Target::Vm(_)) => vec!["Microsoft.Compute/virtualMachines/delete"],
        ("GET", Target::Nics | Target::Nic(_)) => {
            vec!["Microsoft.Network/networkInterfaces/read"]
        }
        ("PUT", Target::Nic(_)) => vec![
            "Microsoft.Network/networkInterfaces/write",
            "Microsoft.Network/virtualNetworks/subnets/join/action",
        ],
        ("DELETE", Target::Nic(_)) => vec!["Microsoft.Network/networkInterfaces/delete"],
        ("GET", Target::Disks | Target::Disk(_)) => vec!["Microsoft.Compute/disks/read"],
        ("DELETE", Target::Disk(_)) => vec!["Microsoft.Compute/disks/delete"],
        ("GET", Target::Usages(_)) => vec!["Microsoft.Compute/locations/usages/read"],
        ("GET", Target::Skus) => vec!["Microsoft.Compute/skus/read"],
        ("GET", Target::Operation(_)) => {
            if request
                .path
                .to_ascii_lowercase()
                .contains("microsoft.network")
            {
                vec!["Microsoft.Network/locations/operations/read"]
            } else {
                vec!["Microsoft.Compute/locations/operations/read"]
            }
        }
        ("PATCH", Target::Tags(_)) => vec![
            "Microsoft.Resources/tags/write",
            "Microsoft.Compute/virtualMachines/write",
        ],
        _ => Vec::new(),
    }
}

fn kind(target: &Target) -> &'static str {
    match target {
        Target::Vms => "vms",
        Target::Vm(_) => "vm",
        Target::InstanceView(_) => "instanceView",
        Target::Nics => "nics",
        Target::Nic(_) => "nic",
        Target::Disks => "disks",
        Target::Disk(_) => "disk",
        Target::Usages(_) => "usages",
        Target::Skus => "skus",
        Target::Operation(_) => "operation",
        Target::Tags(_) => "tags",
    }
}

fn remaining(method: &str) -> &'static str {
    match method {
        "GET" => "x-ms-ratelimit-remaining-subscription-reads",
        "DELETE" => "x-ms-ratelimit-remaining-subscription-deletes",
        _ => "x-ms-ratelimit-remaining-subscription-writes",
    }
}
