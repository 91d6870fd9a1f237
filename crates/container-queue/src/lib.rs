//! The dispatcher's view of the API's containers.
