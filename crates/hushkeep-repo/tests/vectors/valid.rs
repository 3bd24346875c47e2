//! Valid repositories.

mod forged;
mod histories;
mod written;

use crate::expected::Vector;
pub(crate) use written::opens;

pub(crate) fn all() -> Vec<Vector> {
    [written::all(), forged::all(), histories::all()].into_iter().flatten().collect()
}
