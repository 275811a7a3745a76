//! How much memory a filter may take if the user sets no limit.

/// Half of the machine's memory, or of the limit of the control group or the process if that is
/// smaller, in bytes, but at least 64 MiB. `None` if the system does not provide these figures.
pub(super) fn default_max_memory() -> Option<u64> {
    let machine = read("/proc/meminfo").and_then(|text| kibibytes(&text));
    let group = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse().ok());
    let process = read("/proc/self/limits").and_then(|text| address_space(&text));
    let limit = [machine, group, process].into_iter().flatten().min()?;
    Some((limit / 2).max(64 << 20))
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// `MemTotal:       24603000 kB`
fn kibibytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

/// `Max address space         65536000             unlimited            bytes`
fn address_space(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_from_what_the_system_writes() {
        assert_eq!(kibibytes("MemFree: 1 kB\nMemTotal:       24603000 kB\n"), Some(24_603_000 * 1024));
        assert_eq!(kibibytes("nothing"), None);
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max address space         65536000             unlimited            bytes\n";
        assert_eq!(address_space(limits), Some(65_536_000));
        assert_eq!(address_space(&limits.replace("65536000 ", "unlimited")), None);
    }
}
