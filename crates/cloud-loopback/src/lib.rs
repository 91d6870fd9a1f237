//! A driver that runs containers on this host.
