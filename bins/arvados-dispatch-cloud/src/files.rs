//! Room for open files: a connection for each instance, and some for everybody else.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit on open files to what this process may set itself. The usual limit of 1024 is there for programs
/// that use `select`, and would be reached with a thousand instances.
pub(crate) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let highest = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Where that is refused, the limit stays as it was, and reaching it shows in the log.
    let _ = setrlimit(Resource::Nofile, highest);
}
