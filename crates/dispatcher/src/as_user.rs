//! The commands for instances whose runners run as one user. Which that is, each instance's tag says.

use std::sync::Arc;

use dispatch_model::UserName;
use dispatch_runner::{
    DeployPath, Login, RunnerCommand, RunnerCommands, WATCH_DIRECTORY, deploy_script,
    user_check_remedy, user_check_script, watch_script,
};

/// Everything that command lines are made of but the user.
pub(crate) struct CommandLines {
    pub(crate) login: Login,
    pub(crate) runner: RunnerCommand,
    /// `Containers.RuntimeEngine`.
    pub(crate) engine: String,
    /// `CrunchRunArgumentsList`.
    pub(crate) arguments: Vec<String>,
}

impl CommandLines {
    /// The command lines for this user; `None`: root.
    pub(crate) fn as_user(&self, user: Option<UserName>) -> AsUser {
        let login = self.login.with_runner(user);
        AsUser {
            runner: RunnerCommands::new(&self.runner, &login, &self.engine, &self.arguments),
            watch: watch_script(&login, WATCH_DIRECTORY).into(),
            check: user_check_script(&login, &self.engine)
                .zip(login.runner_user().map(user_check_remedy)),
            login,
        }
    }
}

/// The command lines for one user.
pub(crate) struct AsUser {
    /// Those of the runner.
    pub(crate) runner: RunnerCommands,
    /// The exit watch.
    pub(crate) watch: Arc<str>,
    /// Whether the user can work there, and what to do if not; `None` for root.
    pub(crate) check: Option<(String, String)>,
    login: Login,
}

impl AsUser {
    /// Puts the runner to its place.
    pub(crate) fn deploy(&self, path: &DeployPath) -> String {
        deploy_script(&self.login, path)
    }
}
