//! What is fuzzed: one file for each kind of thing that others write.

mod api;
#[cfg(feature = "azure")]
mod azure;
mod config;
#[cfg(feature = "ec2")]
mod ec2;
mod management;
mod runner;
mod values;

/// Something that must stand any input.
pub trait Target {
    /// Its name, and its folder's in the corpus.
    fn name(&self) -> &'static str;

    /// Words that mean something to it.
    fn words(&self) -> &'static [&'static str];

    /// Takes the input; what it promises and does not keep is an error.
    fn check(&mut self, input: &[u8]) -> Result<(), String>;

    /// How many things made sense to it so far: a target that understands nothing tests nothing.
    fn understood(&self) -> u64;
}

/// All of them, with how many mutations a short run tries on each.
pub fn all() -> Vec<(Box<dyn Target>, u64)> {
    vec![
        (Box::new(runner::Runner::default()), 20_000),
        (Box::new(values::Values::default()), 20_000),
        (Box::new(config::Config::default()), 500),
        (Box::new(api::Api::new()), 200),
        (Box::new(management::Management::new()), 2000),
        #[cfg(feature = "azure")]
        (Box::new(azure::Azure::new()), 60),
        #[cfg(feature = "ec2")]
        (Box::new(ec2::Ec2::new()), 60),
    ]
}

/// A runtime for one thread, on which everything of a target runs, so that a panic is heard wherever it happens.
fn runtime() -> (tokio::runtime::Runtime, tokio::task::LocalSet) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    (runtime, tokio::task::LocalSet::new())
}

/// How long one input may take, all calls together.
const WITHIN: std::time::Duration = std::time::Duration::from_secs(60);
