//! Every metric name and log field in one place.
