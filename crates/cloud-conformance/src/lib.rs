//! Checks that every cloud driver passes.
