//! A small POSIX shell: lists, `&&` and `||`, subshells, pipes, redirections. Enough for what dispatchers send.

use super::{
    Effect, Surroundings, Vm, builtins,
    files::File,
    scripts,
    words::{Token, tokens},
};

/// What a piece of script left behind.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) status: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// How long it took, ms.
    pub(crate) took_ms: u64,
}

impl Outcome {
    pub(crate) fn status(status: i32) -> Outcome {
        Outcome {
            status,
            ..Outcome::default()
        }
    }

    pub(crate) fn out(text: impl Into<Vec<u8>>) -> Outcome {
        Outcome {
            stdout: text.into(),
            ..Outcome::default()
        }
    }

    pub(crate) fn failed(status: i32, message: impl AsRef<str>) -> Outcome {
        Outcome {
            status,
            stderr: format!("{}\n", message.as_ref()).into_bytes(),
            ..Outcome::default()
        }
    }

    pub(crate) fn taking(self, took_ms: u64) -> Outcome {
        Outcome { took_ms, ..self }
    }

    /// Both, one after the other; the second's status.
    fn then(mut self, next: Outcome) -> Outcome {
        self.stdout.extend(next.stdout);
        self.stderr.extend(next.stderr);
        Outcome {
            status: next.status,
            took_ms: self.took_ms + next.took_ms,
            ..self
        }
    }
}

/// Runs a script with this standard input.
pub(crate) fn run(
    vm: &mut Vm,
    script: &str,
    stdin: &[u8],
    user: &str,
    surroundings: &Surroundings<'_>,
) -> (Outcome, Vec<Effect>) {
    let mut effects = Vec::new();
    let mut shell = Shell {
        vm,
        surroundings,
        effects: &mut effects,
        user: user.to_owned(),
        umask: 0o022,
        stop_on_error: false,
        stop: false,
    };
    let outcome = shell.script(script, stdin);
    (outcome, effects)
}

/// A shell at work.
pub(crate) struct Shell<'a, 'b> {
    pub(crate) vm: &'a mut Vm,
    pub(crate) surroundings: &'a Surroundings<'b>,
    pub(crate) effects: &'a mut Vec<Effect>,
    /// Whom it runs as.
    pub(crate) user: String,
    pub(crate) umask: u32,
    pub(crate) stop_on_error: bool,
    /// Set by `exit`, and by an error under `set -e`.
    pub(crate) stop: bool,
}

impl Shell<'_, '_> {
    pub(crate) fn is_root(&self) -> bool {
        self.user == "root"
    }

    /// Whether the image knows a user.
    pub(crate) fn knows(&self, user: &str) -> bool {
        matches!(user, "root" | "crunch") || self.surroundings.vm.runner_users.contains(user)
    }

    /// Whether its user may use Docker.
    pub(crate) fn may_use_docker(&self) -> bool {
        self.is_root() || self.surroundings.vm.runner_users.contains(&self.user)
    }

    /// A whole script.
    pub(crate) fn script(&mut self, text: &str, stdin: &[u8]) -> Outcome {
        let tokens = match tokens(text) {
            Ok(tokens) => tokens,
            Err(message) => return Outcome::failed(2, format!("sh: syntax error: {message}")),
        };
        match self.list(&mut tokens.as_slice(), stdin) {
            Ok((outcome, [])) => outcome,
            Ok(_) => Outcome::failed(2, "sh: syntax error: unexpected `)'"),
            Err(message) => Outcome::failed(2, format!("sh: syntax error: {message}")),
        }
    }

    /// The command after `sudo`, or after `sh -c`, in a shell of its own.
    pub(crate) fn nested(
        &mut self,
        user: &str,
        act: impl FnOnce(&mut Shell<'_, '_>) -> Outcome,
    ) -> Outcome {
        let mut inner = Shell {
            vm: &mut *self.vm,
            surroundings: self.surroundings,
            effects: &mut *self.effects,
            user: user.to_owned(),
            umask: self.umask,
            stop_on_error: false,
            stop: false,
        };
        act(&mut inner)
    }

    fn list<'t>(
        &mut self,
        tokens: &mut &'t [Token],
        stdin: &[u8],
    ) -> Result<(Outcome, &'t [Token]), String> {
        let mut outcome = Outcome::default();
        loop {
            match tokens.split_first() {
                None => return Ok((outcome, tokens)),
                Some((Token::Operator(")"), _)) => return Ok((outcome, tokens)),
                Some((Token::Operator(";"), rest)) => *tokens = rest,
                Some(_) => {
                    let runs = !self.stop;
                    let next = self.and_or(tokens, stdin)?;
                    if runs {
                        outcome = outcome.then(next);
                    }
                }
            }
        }
    }

    fn and_or(&mut self, tokens: &mut &[Token], stdin: &[u8]) -> Result<Outcome, String> {
        let mut outcome = self.pipeline(tokens, stdin, !self.stop)?;
        let mut last_ran = true;
        while let Some((Token::Operator(operator @ ("&&" | "||")), rest)) = tokens.split_first() {
            *tokens = rest;
            let runs = (outcome.status == 0) == (*operator == "&&") && !self.stop;
            let next = self.pipeline(tokens, stdin, runs)?;
            last_ran = runs;
            if runs {
                outcome = outcome.then(next);
            }
        }
        // `set -e` looks at the last command of such a chain only.
        if self.stop_on_error && outcome.status != 0 && last_ran {
            self.stop = true;
        }
        Ok(outcome)
    }

    fn pipeline(
        &mut self,
        tokens: &mut &[Token],
        stdin: &[u8],
        run: bool,
    ) -> Result<Outcome, String> {
        let mut outcome = self.command(tokens, stdin, run)?;
        while let Some((Token::Operator("|"), rest)) = tokens.split_first() {
            *tokens = rest;
            let piped = std::mem::take(&mut outcome.stdout);
            let next = self.command(tokens, &piped, run)?;
            outcome = outcome.then(next);
        }
        Ok(outcome)
    }

    fn command(
        &mut self,
        tokens: &mut &[Token],
        stdin: &[u8],
        run: bool,
    ) -> Result<Outcome, String> {
        let mut words = Vec::new();
        let mut redirections: Vec<(&'static str, String)> = Vec::new();
        let mut subshell = None;
        while let Some((token, rest)) = tokens.split_first() {
            match token {
                Token::Word(word) => {
                    words.push(word.clone());
                    *tokens = rest;
                }
                Token::Operator("2>&1") => {
                    redirections.push(("2>&1", String::new()));
                    *tokens = rest;
                }
                Token::Operator(operator @ (">" | ">>" | "<" | "2>")) => {
                    let Some((Token::Word(target), rest)) = rest.split_first() else {
                        return Err(format!("a word is missing after `{operator}`"));
                    };
                    redirections.push((operator, target.clone()));
                    *tokens = rest;
                }
                Token::Operator("(") if words.is_empty() && subshell.is_none() => {
                    *tokens = rest;
                    let (umask, errors, stop) = (self.umask, self.stop_on_error, self.stop);
                    self.stop |= !run;
                    let (outcome, rest) = self.list(tokens, stdin)?;
                    (self.umask, self.stop_on_error, self.stop) = (umask, errors, stop);
                    let Some((Token::Operator(")"), rest)) = rest.split_first() else {
                        return Err("`)' is missing".into());
                    };
                    *tokens = rest;
                    subshell = Some(outcome);
                }
                Token::Operator("(") => return Err("unexpected `('".into()),
                Token::Operator("&") => {
                    return Err("this shell runs nothing in the background".into());
                }
                Token::Operator(_) => break,
            }
        }
        if words.is_empty() && subshell.is_none() && redirections.is_empty() {
            return Err("a command is missing".into());
        }
        if !run {
            return Ok(Outcome::default());
        }
        let input = match self.input(&redirections, stdin) {
            Ok(input) => input,
            Err(outcome) => return Ok(outcome),
        };
        let outcome = match subshell {
            Some(outcome) => outcome,
            None => self.simple(&words, &input),
        };
        Ok(self.redirect(outcome, &redirections))
    }

    /// One simple command.
    pub(crate) fn simple(&mut self, words: &[String], stdin: &[u8]) -> Outcome {
        if let Some(script) = scripts::of(words) {
            return script.run(self, stdin);
        }
        builtins::run(self, words, stdin)
    }

    fn input(
        &self,
        redirections: &[(&'static str, String)],
        stdin: &[u8],
    ) -> Result<Vec<u8>, Outcome> {
        match redirections
            .iter()
            .rev()
            .find(|(operator, _)| *operator == "<")
        {
            None => Ok(stdin.to_vec()),
            Some((_, path)) if path == "/dev/null" => Ok(Vec::new()),
            Some((_, path)) => match self
                .vm
                .files
                .get(path)
                .and_then(|file| file.content.clone())
            {
                Some(content) => Ok(content),
                None => Err(Outcome::failed(
                    1,
                    format!("sh: {path}: No such file or directory"),
                )),
            },
        }
    }

    fn redirect(
        &mut self,
        mut outcome: Outcome,
        redirections: &[(&'static str, String)],
    ) -> Outcome {
        for (operator, path) in redirections {
            let output = match *operator {
                ">" | ">>" => std::mem::take(&mut outcome.stdout),
                "2>" => std::mem::take(&mut outcome.stderr),
                "2>&1" => {
                    let stderr = std::mem::take(&mut outcome.stderr);
                    outcome.stdout.extend(stderr);
                    continue;
                }
                _ => continue,
            };
            if path == "/dev/null" {
                continue;
            }
            if let Err(message) = self.write(path, &output, *operator == ">>") {
                return Outcome::failed(1, format!("sh: {message}"));
            }
        }
        outcome
    }

    /// Writes a file, as `>` and `>>` do.
    pub(crate) fn write(&mut self, path: &str, content: &[u8], append: bool) -> Result<(), String> {
        let system = ["/var/run/", "/run/", "/etc/", "/usr/", "/root/"];
        if !self.is_root() && system.iter().any(|directory| path.starts_with(directory)) {
            return Err(format!("{path}: Permission denied"));
        }
        if !self.vm.files.has_parent(path) {
            return Err(format!("{path}: No such file or directory"));
        }
        let old = self.vm.files.get(path);
        let mode = old.map_or(0o666 & !self.umask, |file| file.mode);
        let mut all = match old {
            Some(old) if append => old.content.clone().unwrap_or_default(),
            _ => Vec::new(),
        };
        all.extend(content);
        self.vm.files.put(path, File::new(mode, &all));
        Ok(())
    }
}
