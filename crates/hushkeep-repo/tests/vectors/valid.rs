//! Valid repositories.

mod forged;
mod written;

use crate::expected::Vector;
pub(crate) use written::opens;

pub(crate) fn all() -> Vec<Vector> {
    written::all().into_iter().chain(forged::all()).collect()
}
