//! Joins scheduler, worker and container queue.
