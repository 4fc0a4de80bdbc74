//! A control thread's state without shards, for tests: the test plays the shards.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc as std_mpsc;
use std::thread;
use std::time::Duration;

use coregate_config::checked::Gateway;
use tokio::sync::mpsc;

use super::Event;
use super::certificates;
use super::engine::Engine;
use super::listeners;
use super::reload::Watch;
use crate::boot::{Boot, Source};
use crate::clock;
use crate::message::{FromShard, ToShard};
use crate::shard::ShardSeed;

/// How long a test waits for what must come.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// An engine and all that is around it.
pub struct Rig {
    /// The subject.
    pub engine: Engine,
    /// What each shard was started with; their `orders` are for the test to read.
    pub seeds: Vec<ShardSeed>,
    /// What the engine's tasks say.
    pub events: mpsc::Receiver<Event>,
    /// The configuration file.
    pub file: TempFile,
    /// A shard's thread lives until its sender is dropped.
    pub lives: Vec<std_mpsc::Sender<()>>,
    _reports: mpsc::Receiver<FromShard>,
}

impl Rig {
    /// Starts an engine with two shards and this configuration.
    pub async fn start(toml: &str) -> Self {
        let file = TempFile::new(toml);
        let gateway = coregate_config::load(&file.0).unwrap();
        let source = Source::File(Watch::new(file.0.clone()));
        Self::start_from(gateway, source, file).await
    }

    /// Starts an engine whose configuration comes from an admin, and that has none yet. Nobody asks the admin.
    pub async fn start_with_admin(own: &str) -> Self {
        let control = "[control]\nsource = \"admin\"\nadmin_url = \"http://127.0.0.1:1\"\n\
                       token_file = \"token\"\ncache_path = \"copy\"\n";
        let file = TempFile::new(&format!("{own}\n{control}"));
        let gateway = coregate_config::parse_toml(&file.read(), "test").unwrap();
        Self::start_from(gateway, Source::Admin(None), file).await
    }

    async fn start_from(gateway: Gateway, source: Source, file: TempFile) -> Self {
        let (seeds_to, seeds) = std_mpsc::channel();
        let enabled: Vec<_> = gateway.listeners.iter().filter(|listener| listener.enabled).collect();
        let boot = Boot {
            listeners: listeners::open_all(enabled, 2, &[]).unwrap(),
            gateway,
            source,
            seats: vec![None, None],
            ops: None,
            access_log: None,
            certificates: certificates::Read::default(),
            spawn_shard: Box::new(move |seed| {
                let (life, lived) = std_mpsc::channel::<()>();
                seeds_to.send((seed, life)).unwrap();
                thread::Builder::new().spawn(move || lived.recv().unwrap_or_default())
            }),
        };
        let (reports_to, reports) = mpsc::channel(64);
        let (events_to, events) = mpsc::channel(64);
        let (engine, _) = Engine::start(boot, &reports_to, events_to).await.unwrap();
        let (seeds, lives) = seeds.iter().unzip();
        Self { engine, seeds, events, file, lives, _reports: reports }
    }

    /// Both shards say that they have applied the first snapshot.
    pub fn apply_first(&mut self) {
        for shard in 0..2 {
            self.engine.on_report(FromShard::Applied { shard, revision: 1 }, clock::read());
        }
    }

    /// Gives the engine the next event of one of its tasks.
    pub async fn next_event(&mut self) {
        let event = tokio::time::timeout(DEADLINE, self.events.recv()).await;
        self.engine.on_event(event.expect("an event within the deadline").unwrap(), clock::read());
    }

    /// Writes another configuration and has it read.
    pub async fn reload(&mut self, toml: &str) {
        self.file.write(toml);
        self.engine.reload("test");
        self.next_event().await;
    }

    /// The orders that a shard has got by now.
    pub fn orders(&mut self, shard: usize) -> Vec<ToShard> {
        let orders = std::iter::from_fn(|| self.seeds[shard].orders.try_recv().ok());
        orders.filter(|order| !matches!(order, ToShard::Wake)).collect()
    }

    /// The configuration in force.
    pub fn gateway(&self) -> &Gateway {
        &self.engine.snapshot.gateway
    }
}

/// A file that is removed in the end.
pub struct TempFile(pub PathBuf);

impl TempFile {
    /// A new file with this text.
    pub fn new(text: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let file = Self(std::env::temp_dir().join(format!("coregate-{}-{number}.toml", std::process::id())));
        file.write(text);
        file
    }

    /// Its text.
    pub fn read(&self) -> String {
        std::fs::read_to_string(&self.0).unwrap()
    }

    /// Replaces its text.
    pub fn write(&self, text: &str) {
        std::fs::File::create(&self.0).unwrap().write_all(text.as_bytes()).unwrap();
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
