//! Which snapshots stay where not all do.

use std::collections::{BTreeMap, BTreeSet};

/// So many days long are the periods of a kind, and so many of them keep their newest snapshot.
const PERIODS: [(u64, usize); 4] = [(1, 7), (7, 5), (30, 12), (365, usize::MAX)];

/// Of the days that have a snapshot, those that keep it.
pub(crate) fn kept(days: &BTreeSet<u64>) -> BTreeSet<u64> {
    let newest = |len: u64| days.iter().map(|day| (day / len, *day)).collect::<BTreeMap<u64, u64>>();
    PERIODS.iter().flat_map(|(len, count)| newest(*len).into_values().rev().take(*count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_years_leave_days_weeks_months_and_years() {
        let mut days = BTreeSet::new();
        for day in 0..3650 {
            days.insert(day);
            days = kept(&days);
        }
        let years = (1..=10).map(|year| year * 365 - 1);
        let months = (111..=121).map(|month| month * 30 - 1);
        let weeks = (518..=521).map(|week| week * 7 - 1);
        let expected: BTreeSet<u64> = years.chain(months).chain(weeks).chain(3643..3650).collect();
        assert_eq!(days, expected);
    }
}
