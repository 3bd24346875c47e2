//! What this process has used so far, as Linux tells it.

use std::fs;
use std::io;

/// How many ticks `/proc` counts in a second, on every architecture that Linux still supports.
const TICKS: f64 = 100.0;

/// Memory and time of a whole process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// The most memory it ever held at once, in bytes (`VmHWM`).
    pub(crate) peak_bytes: u64,
    /// CPU seconds in its own code.
    pub(crate) user_s: f64,
    /// CPU seconds in the system, on its behalf.
    pub(crate) system_s: f64,
}

impl Usage {
    /// Of this process, until now.
    pub(crate) fn now() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let peak_kib = status.lines().find_map(|line| number(line.strip_prefix("VmHWM:")?, 0));
        let stat = fs::read_to_string("/proc/self/stat")?;
        // The name in front may hold spaces; behind it, user and system time are the 12th and 13th field.
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        let seconds =
            |field| number(fields, field).map(|ticks| f64::from(u32::try_from(ticks).unwrap_or(u32::MAX)) / TICKS);
        let usage = || Some(Self { peak_bytes: peak_kib? << 10, user_s: seconds(11)?, system_s: seconds(12)? });
        usage().ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

fn number(text: &str, field: usize) -> Option<u64> {
    text.split_whitespace().nth(field)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_what_it_used() {
        let before = Usage::now().unwrap();
        let block = vec![1u8; 64 << 20];
        assert!(
            Usage::now().unwrap().peak_bytes > before.peak_bytes.max(block.iter().map(|byte| u64::from(*byte)).sum())
        );
    }
}
