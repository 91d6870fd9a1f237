//! The whole tool against dispatchers that replay recordings, and against the real management API.

mod containers;
mod instances;
mod lookup;
mod real;
mod stand_in;
mod standby;

use std::{cell::RefCell, io, rc::Rc};

use dispatch_config::Secret;

use super::run;
use crate::{access::Environment, exit::Exit, out::Out};
use stand_in::{StandIn, TOKEN};

/// How one call of the tool ended.
#[derive(Debug)]
struct Call {
    exit: Exit,
    stdout: String,
    stderr: String,
}

/// URL and token come from the environment.
fn environment_of(stand_in: &StandIn) -> Environment {
    Environment {
        url: Some(stand_in.url().into()),
        token: Some(Secret::new(TOKEN.into())),
        // Tests do not read this host's files.
        cert_file: true,
        ..Environment::default()
    }
}

/// Calls the tool with these words.
async fn call(stand_in: &StandIn, words: &str) -> Call {
    let words: Vec<_> = words.split(' ').collect();
    call_in(&environment_of(stand_in), &words).await
}

/// The same, where no result can be written.
async fn call_writing_to_full_disk(stand_in: &StandIn, words: &str) -> Call {
    let full = std::fs::File::options().write(true).open("/dev/full");
    let full = Box::new(full.expect("every Linux has it"));
    let words: Vec<_> = words.split(' ').collect();
    call_with(&environment_of(stand_in), &words, Some(full)).await
}

async fn call_in(environment: &Environment, words: &[&str]) -> Call {
    call_with(environment, words, None).await
}

/// Results go to `results`, or into the answer.
async fn call_with(
    environment: &Environment,
    words: &[&str],
    results: Option<Box<dyn io::Write>>,
) -> Call {
    let (stdout, stderr) = (Memory::default(), Memory::default());
    let results = results.unwrap_or_else(|| Box::new(stdout.clone()));
    let mut out = Out::new(results, Box::new(stderr.clone()));
    let words = std::iter::once("arvados-dispatch-ctl").chain(words.iter().copied());
    let exit = run(words.map(Into::into), environment, &mut out).await;
    Call {
        exit,
        stdout: stdout.text(),
        stderr: stderr.text(),
    }
}

/// A stream that remembers what was written.
#[derive(Clone, Default)]
struct Memory(Rc<RefCell<Vec<u8>>>);

impl Memory {
    fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).expect("text")
    }
}

impl io::Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
