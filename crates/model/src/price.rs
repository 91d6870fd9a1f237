//! What an instance whose price changes has cost since when.

use jiff::Timestamp;

/// From this moment on the instance cost so much, until the next point.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PricePoint {
    /// Since when.
    pub start: Timestamp,
    /// Dollars an hour.
    pub price: f64,
}
