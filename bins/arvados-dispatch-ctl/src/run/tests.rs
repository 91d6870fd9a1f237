//! The whole tool against dispatchers that replay recordings, and against the real management API.

mod containers;
mod instances;
mod lookup;
mod real;
mod stand_in;

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

/// Calls the tool with these words; URL and token come from the environment.
async fn call(stand_in: &StandIn, words: &str) -> Call {
    let environment = Environment {
        url: Some(stand_in.url().into()),
        token: Some(Secret::new(TOKEN.into())),
        // Tests do not read this host's files.
        cert_file: true,
        ..Environment::default()
    };
    call_in(&environment, &words.split(' ').collect::<Vec<_>>()).await
}

async fn call_in(environment: &Environment, words: &[&str]) -> Call {
    let (stdout, stderr) = (Memory::default(), Memory::default());
    let mut out = Out::new(Box::new(stdout.clone()), Box::new(stderr.clone()));
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
