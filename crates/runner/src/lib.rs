//! The protocol of crunch-run, the program that runs one container on an instance: its command lines, what it is told
//! on standard input, what it answers, and the scripts that bring it to an instance, see whether its user can work
//! there, and wait for its end.
//!
//! Values in, values out. How commands travel, and when, is other crates' business; nothing here waits, reads a clock
//! or touches a file.

mod binary;
mod commands;
mod gateway;
mod list;
mod prices;
mod record;
mod scripts;
mod shell;
mod start;

pub use binary::{BinaryHash, RunnerMissing, choose_runner_binary};
pub use commands::{DeployPath, Login, RunnerCommand, RunnerCommands, boot_probe};
pub use dispatch_model::PricePoint;
pub use gateway::{gateway_address, gateway_secret};
pub use list::{ListError, RunnerList, parse_list};
pub use prices::price_document;
pub use record::instance_type_record;
pub use scripts::{
    WATCH_DIRECTORY, WatchLine, deploy_script, init_script, user_check_remedy, user_check_script,
    watch_script,
};
pub use shell::{quote, quote_if_needed};
pub use start::{Start, StartDocument, StartSettings};
