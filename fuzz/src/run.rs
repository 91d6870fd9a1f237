//! Tries inputs on a target, and says which one it does not stand.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::Once,
};

use anyhow::{Context, Result};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{corpus, mutate, targets::Target};

/// An input that a target does not stand.
#[derive(Debug)]
pub struct Found {
    /// Of the corpus, or "seed 1, mutation 17".
    pub name: String,
    /// The input.
    pub input: Vec<u8>,
    /// What it did.
    pub what: String,
}

/// Tries the whole corpus: the first input that is not stood.
pub fn corpus(target: &mut dyn Target) -> Result<Option<Found>> {
    let inputs = kept(target)?;
    for (name, input) in inputs {
        if let Err(what) = stands(target, &input) {
            return Ok(Some(Found { name, input, what }));
        }
    }
    Ok(None)
}

/// Tries mutations of the corpus for as long as `go_on` says, which is told how many have been tried.
pub fn mutations(
    target: &mut dyn Target,
    seed: u64,
    mut go_on: impl FnMut(u64) -> bool,
) -> Result<Option<Found>> {
    let inputs = kept(target)?;
    let mut luck = StdRng::seed_from_u64(seed);
    let mut n_tried = 0;
    while go_on(n_tried) {
        let (_, input) = &inputs[luck.random_range(0..inputs.len())];
        let input = mutate::mutated(input, &inputs, target.words(), &mut luck);
        if let Err(what) = stands(target, &input) {
            let name = format!("seed {seed}, mutation {n_tried}");
            return Ok(Some(Found { name, input, what }));
        }
        n_tried += 1;
    }
    Ok(None)
}

fn kept(target: &dyn Target) -> Result<Vec<(String, Vec<u8>)>> {
    let name = target.name();
    let inputs = corpus::read(name).with_context(|| format!("read the corpus of {name}"))?;
    anyhow::ensure!(!inputs.is_empty(), "the corpus of {name} is empty");
    Ok(inputs)
}

thread_local! {
    /// What panicked in this thread, also where a runtime caught it.
    static PANICKED: Cell<Option<String>> = const { Cell::new(None) };
}

/// Panics are heard in the thread they happen in, and other threads keep their own way.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            PANICKED.set(Some(info.to_string()));
            before(info);
        }));
    });
}

/// Whether the target stands this input: it neither panics, nor breaks what it promises.
fn stands(target: &mut dyn Target, input: &[u8]) -> Result<(), String> {
    listen();
    PANICKED.set(None);
    let outcome = catch_unwind(AssertUnwindSafe(|| target.check(input)));
    if let Some(what) = PANICKED.take() {
        return Err(what);
    }
    outcome.unwrap_or_else(|_| Err("it panicked".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Brittle;

    impl Target for Brittle {
        fn name(&self) -> &'static str {
            "runner"
        }

        fn words(&self) -> &'static [&'static str] {
            &["crash"]
        }

        fn check(&mut self, input: &[u8]) -> Result<(), String> {
            let has = |word: &[u8]| input.windows(word.len()).any(|part| part == word);
            assert!(!has(b"crash"), "crashed");
            if has(b"999") {
                return Err("broke its promise".into());
            }
            Ok(())
        }

        fn understood(&self) -> u64 {
            0
        }
    }

    #[test]
    fn a_target_that_panics_is_found_out_and_the_same_seed_finds_it_again() {
        let find = || {
            let found = mutations(&mut Brittle, 1, |n| n < 10_000).expect("a corpus");
            found.expect("an input that it does not stand")
        };
        let (one, other) = (find(), find());
        assert_eq!(one.input, other.input);
        assert!(
            one.what.contains("crashed") || one.what.contains("promise"),
            "{one:?}"
        );
    }

    #[test]
    fn a_target_that_breaks_its_promise_is_found_out_as_well() {
        assert_eq!(
            stands(&mut Brittle, b"1999"),
            Err("broke its promise".into())
        );
        assert_eq!(stands(&mut Brittle, b"fine"), Ok(()));
    }
}
