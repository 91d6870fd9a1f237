//! Two daemons on one cluster, and a PostgreSQL that is stopped, restarted and cut off.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use dispatch_lab_net::{Heard, Lab, LabHandle, Scheme, free_port};
use dispatch_tests::postgres::{Ending, Postgres};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep},
};

use crate::{
    Common,
    daemon::Daemon,
    load,
    overseer::Overseer,
    say,
    sessions::Sessions,
    verdict::{WITHOUT_ONE_MAX, judge},
    wires::{To, Wires},
};

/// Two daemons and a PostgreSQL that is stopped, restarted and cut off.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Only these blows, one after the other; all of them, shuffled, if none is named.
    #[arg(long, value_delimiter = ',')]
    blows: Vec<Blow>,
}

/// What can happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Blow {
    /// The line between holder and database is cut without a word, and mended later.
    Cut,
    /// All lines of the holder but those to instances are cut, with calls under way, and mended later.
    Partition,
    /// The holder's backend is ended.
    Backend,
    /// The database is stopped for a while.
    Stop,
    /// It is restarted.
    Restart,
    /// It crashes and comes up again.
    Crash,
    /// The holder's process is stopped for so long that the kernel ends it; its backend is ended, or goes on for it.
    Freeze,
    /// The holder is killed, and started again.
    Kill,
    /// The holder is asked to stop, and started again.
    Terminate,
}

const ALL: [Blow; 9] = [
    Blow::Cut,
    Blow::Partition,
    Blow::Backend,
    Blow::Stop,
    Blow::Restart,
    Blow::Crash,
    Blow::Freeze,
    Blow::Kill,
    Blow::Terminate,
];

/// Whoever did nothing for so long was not in command: there is always something to do.
const BREAK: Duration = Duration::from_millis(900);
/// A second blow hits no later than this after the last call: by the rules somebody acts again six seconds after it, and
/// the twenty seconds without one are counted from the last call, whatever happened since.
const SECOND_BLOW_WITHIN: Duration = Duration::from_secs(12);
/// How long everything may take to come to rest at the end.
const REST: Duration = Duration::from_secs(90);
/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(10);

struct Stage {
    lab: Arc<LabHandle>,
    postgres: Postgres,
    wires: Wires,
    daemons: Vec<Daemon>,
    /// Where their management APIs are.
    management: Vec<SocketAddr>,
    overseer: Overseer,
    /// Who has held the lock.
    sessions: Sessions,
    /// When the database was not there.
    downs: Vec<(Instant, Instant)>,
    luck: StdRng,
    load: AbortHandle,
    _tasks: JoinSet<()>,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    say(&format!("seed {}", arguments.common.seed));
    let mut stage = Stage::open(arguments, folder.path()).await?;
    let outcome = stage.play(arguments).await;
    if outcome.is_err() {
        for (n, daemon) in stage.daemons.iter().enumerate() {
            say(&format!("the log of daemon {n}:\n{}", daemon.last()));
        }
    }
    outcome
}

impl Stage {
    async fn open(arguments: &Arguments, folder: &std::path::Path) -> anyhow::Result<Stage> {
        let Common { programs, seed, .. } = &arguments.common;
        let wires = Wires::lay(2).await?;
        let mut postgres = Postgres::prepare(5432, Some(wires.pid())).await?;
        postgres.start().await?;
        let mut lab = Lab::new(*seed, load::settings());
        lab.scheme = Scheme::Http;
        lab.config.management_address = "@MANAGEMENT@".to_owned();
        lab.config.cloud_vms = load::cloud_vms();
        lab.config.containers = vec![("CrunchRunCommand".to_owned(), "@RUNNER@".to_owned())];
        let lab = Arc::new(lab.start().await?);
        lab.overhear();
        let (overseer, mut tasks) = (Overseer::default(), JoinSet::new());
        let (mut daemons, mut management) = (Vec::new(), Vec::new());
        for (by, runner) in RUNNERS.iter().enumerate() {
            let mut config = lab.config_yaml().to_owned();
            for url in [lab.api_url(), lab.cloud_url()] {
                let service = url.trim_start_matches("http://").parse()?;
                let entrance = overseer.entrance(by, wires.door(by)?, service, &mut tasks)?;
                config = config.replace(url, &format!("http://{entrance}"));
            }
            let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
            management.push(address);
            config = config.replace("@MANAGEMENT@", &address.to_string());
            config = config.replace("@RUNNER@", runner);
            config.push_str(&format!(
                "    PostgreSQL:\n      Connection: {{host: {}, port: \"{}\", user: postgres, dbname: postgres, sslmode: disable}}\n",
                Wires::there(by, To::Database),
                postgres.port()
            ));
            let name = format!("daemon-{by}");
            daemons.push(Daemon::start(programs, folder, &name, &config)?);
        }
        let sessions = Sessions::default();
        tasks.spawn(sessions.clone().watch(postgres.door(), 2));
        tasks.spawn(listen(Arc::clone(&lab), overseer.clone()));
        let load = tasks.spawn(keep_busy(Arc::clone(&lab), *seed));
        Ok(Stage {
            lab,
            postgres,
            wires,
            daemons,
            management,
            overseer,
            sessions,
            downs: Vec::new(),
            luck: StdRng::seed_from_u64(*seed),
            load,
            _tasks: tasks,
        })
    }

    async fn play(&mut self, arguments: &Arguments) -> anyhow::Result<()> {
        let (first, _) = self.somebody_acts_after(None, Instant::now()).await?;
        self.says_for_whom_it_waits(1 - first, first).await?;
        let mut blows: Vec<Blow> = Vec::new();
        for round in 1..=arguments.common.rounds {
            if blows.is_empty() {
                blows = self.a_hand_of(&arguments.blows);
            }
            let pause = self.millis(100..2500);
            sleep(pause).await;
            let blow = blows.remove(0);
            let holder = self.overseer.since(0).last().map_or(0, |deed| deed.by);
            let (mut last, mut began) = (self.overseer.n().checked_sub(1), Instant::now());
            self.strike(blow, holder)
                .await
                .with_context(|| format!("{blow:?}"))?;
            let took = began.elapsed();
            // Now and then it happens again while somebody is about to take over.
            let twice = arguments.blows.is_empty() && self.luck.random_range(0..4) == 0;
            let pause = self.millis(0..7000);
            let since_last = self.overseer.since(0).last().map(|deed| deed.at.elapsed());
            let twice = twice && since_last.unwrap_or_default() + pause <= SECOND_BLOW_WITHIN;
            if twice {
                sleep(pause).await;
                last = self.overseer.n().checked_sub(1);
                self.postgres.kill_the_holder().await?;
                began = Instant::now();
            }
            let again = self.somebody_acts_after(last, began).await;
            let again = again.with_context(|| format!("round {round}, {blow:?}"))?;
            let verdict = judge(&self.overseer.since(0), &self.downs, &self.sessions.all());
            verdict
                .map_err(anyhow::Error::msg)
                .with_context(|| format!("round {round}, {blow:?}"))?;
            say(&format!(
                "round {round}: {blow:?}{} of {} ms, daemon {holder} held it; daemon {} acts {:.1} s after it (last) began",
                if twice { " (and again)" } else { "" },
                took.as_millis(),
                again.0,
                again.1.as_secs_f64()
            ));
        }
        self.end(arguments.common.rounds).await
    }

    /// A standby serves health and metrics, and says that it waits and for whom.
    async fn says_for_whom_it_waits(&self, standby: usize, holder: usize) -> anyhow::Result<()> {
        let health = self.ask(standby, "/_health/ping").await?;
        let metrics = self.ask(standby, "/metrics").await?;
        let acting = self.ask(holder, "/metrics").await?;
        for (text, wanted) in [
            (&health, r#""health":"OK""#),
            (
                &health,
                r#""standby":"waits for the dispatchers' lock, held by"#,
            ),
            (&health, Wires::daemon(holder).as_str()),
            (&metrics, r#"dispatch_lock{state="waiting"} 1"#),
            (&acting, r#"dispatch_lock{state="in_command"} 1"#),
        ] {
            if !text.contains(wanted) {
                bail!("{wanted} is missing in what a daemon says:\n{text}");
            }
        }
        Ok(())
    }

    /// An answer of a daemon's management API, headers and all.
    async fn ask(&self, daemon: usize, path: &str) -> anyhow::Result<String> {
        let token = &self.lab.lab().config.management_token;
        let mut stream = TcpStream::connect(self.management[daemon]).await?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: d\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        tokio::time::timeout(Duration::from_secs(10), read)
            .await
            .context("no answer from a management API")??;
        Ok(answer)
    }

    /// The blows to come.
    fn a_hand_of(&mut self, named: &[Blow]) -> Vec<Blow> {
        if !named.is_empty() {
            return named.to_vec();
        }
        let mut left = ALL.to_vec();
        let mut hand = Vec::new();
        while !left.is_empty() {
            hand.push(left.remove(self.luck.random_range(0..left.len())));
        }
        hand
    }

    async fn strike(&mut self, blow: Blow, holder: usize) -> anyhow::Result<()> {
        self.lab.world(|world, _| world.dispatcher_restarted());
        match blow {
            Blow::Cut => {
                self.wires.cut(holder, To::Database).await?;
                let cut_for = self.millis(5_000..22_000);
                sleep(cut_for).await;
                self.wires.mend(holder, To::Database).await
            }
            Blow::Partition => {
                self.wires.cut(holder, To::Services).await?;
                self.wires.cut(holder, To::Database).await?;
                let cut_for = self.millis(12_000..22_000);
                sleep(cut_for).await;
                // What was held back arrives first, if it does.
                self.wires.mend(holder, To::Services).await?;
                self.wires.mend(holder, To::Database).await
            }
            Blow::Backend => {
                if !self.postgres.kill_the_holder().await? {
                    bail!("nobody holds the lock, although daemon {holder} acts");
                }
                Ok(())
            }
            Blow::Stop => {
                let pause = self.millis(500..8_000);
                self.bounce(Ending::Fast, pause).await
            }
            Blow::Restart => self.bounce(Ending::Fast, Duration::ZERO).await,
            Blow::Crash => self.bounce(Ending::Kill, Duration::ZERO).await,
            Blow::Freeze => {
                self.daemons[holder].signal(Signal::STOP)?;
                if self.luck.random() {
                    self.postgres.kill_the_holder().await?;
                }
                // Long enough for the other to be in the midst of work.
                let frozen_for = self.millis(6_000..11_000);
                sleep(frozen_for).await;
                if !self.daemons[holder].was_killed()? {
                    bail!(
                        "daemon {holder} was stopped for {} ms, and lives",
                        frozen_for.as_millis()
                    );
                }
                self.daemons[holder].start_again()
            }
            Blow::Kill => {
                self.daemons[holder].kill().await?;
                self.daemons[holder].start_again()
            }
            Blow::Terminate => {
                self.daemons[holder].terminate().await?;
                self.daemons[holder].start_again()
            }
        }
    }

    async fn bounce(&mut self, ending: Ending, pause: Duration) -> anyhow::Result<()> {
        let down = Instant::now();
        self.postgres.stop(ending).await?;
        sleep(pause).await;
        self.postgres.start().await?;
        self.downs.push((down, Instant::now()));
        Ok(())
    }

    /// Waits until somebody acts after a break that ended after this: who, and how long after it. At the beginning there
    /// was nobody.
    async fn somebody_acts_after(
        &mut self,
        last: Option<usize>,
        began: Instant,
    ) -> anyhow::Result<(usize, Duration)> {
        let by = Instant::now() + WITHOUT_ONE_MAX * 2;
        loop {
            for daemon in &mut self.daemons {
                daemon.check()?;
            }
            let deeds = self.overseer.since(last.unwrap_or(0));
            judge(&deeds, &self.downs, &self.sessions.all()).map_err(anyhow::Error::msg)?;
            let after_a_break = deeds.windows(2).find(|pair| {
                pair[1].at > began && pair[1].at.saturating_duration_since(pair[0].at) >= BREAK
            });
            let found = match last {
                None => deeds.first(),
                Some(_) => after_a_break.map(|pair| &pair[1]),
            };
            if let Some(deed) = found {
                return Ok((deed.by, deed.at.saturating_duration_since(began)));
            }
            if Instant::now() > by {
                bail!(
                    "nobody has taken over within {} s",
                    (WITHOUT_ONE_MAX * 2).as_secs()
                );
            }
            sleep(LOOK_EVERY * 5).await;
        }
    }

    async fn end(&mut self, rounds: u32) -> anyhow::Result<()> {
        self.load.abort();
        self.wires.mend_all().await?;
        let verdict = judge(&self.overseer.since(0), &self.downs, &self.sessions.all())
            .map_err(anyhow::Error::msg)?;
        let daemons = &mut self.daemons;
        let words = load::settle(&self.lab, REST, || {
            daemons.iter_mut().try_for_each(Daemon::check)
        })
        .await?;
        say(&format!(
            "{rounds} rounds: {} calls ({} of them signals), {} handovers, {} sessions that held the lock, {} ms at least from one's last call to the other's first, {:.1} s \
             at most without one while the database was up; {words}",
            self.overseer.n(),
            self.overseer
                .since(0)
                .iter()
                .filter(|deed| deed.what == A_SIGNAL)
                .count(),
            verdict.handovers,
            self.sessions.all().len(),
            verdict.shortest_between.unwrap_or_default().as_millis(),
            verdict.longest_without.as_secs_f64(),
        ));
        Ok(())
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.luck.random_range(range))
    }
}

/// The runner's command in the two daemons' configurations: so what they do on machines can be told apart.
const RUNNERS: [&str; 2] = ["crunch-run", "/usr/bin/crunch-run"];
const A_SIGNAL: &str = "a signal";

/// Notes who starts runners and who ends them: the commands say it.
async fn listen(lab: Arc<LabHandle>, overseer: Overseer) {
    loop {
        for heard in lab.take_heard() {
            let Heard::Command { line, .. } = heard else {
                continue;
            };
            let by = usize::from(line.contains(RUNNERS[1]));
            if line.contains("--detach") {
                overseer.note(by, "a start");
            } else if line.contains("--kill") {
                overseer.note(by, A_SIGNAL);
            }
        }
        sleep(LOOK_EVERY).await;
    }
}

/// More would wait than can be done while it rests at the end.
const OPEN_MAX: usize = 60;

/// There is always something to do.
async fn keep_busy(lab: Arc<LabHandle>, seed: u64) {
    let mut luck = StdRng::seed_from_u64(seed);
    let mut recent = VecDeque::new();
    loop {
        if lab.world(|world, _| world.status()).open < OPEN_MAX {
            match load::submit(&lab, &mut luck) {
                Ok(uuid) => recent.push_back(uuid),
                Err(error) => say(&format!("a container was refused: {error:#}")),
            }
        }
        // Now and then somebody thinks better of it while it runs.
        if recent.len() > 4
            && let Some(uuid) = recent.pop_front()
            && luck.random_range(0..6) == 0
        {
            load::withdraw(&lab, &uuid);
        }
        sleep(Duration::from_millis(luck.random_range(100..400))).await;
    }
}
