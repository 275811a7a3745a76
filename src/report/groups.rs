//! The groups of `--by` side by side, a row for each, as cells of text.

use crate::report::cells::{Cells, Digits, mark};
use crate::report::misses;
use crate::report::numbers::{bytes, rounded};
use crate::stats::{Accuracy, CapacityRow, GroupReport, OTHERS, Report, SeparateCaches, Summary, TargetRow};

/// Characters of a value that a table has room for.
const LONGEST: usize = 40;

/// The names of the rows of all groups.
pub(super) const ALL_NAMES: [&str; 2] = ["(all, separate caches)", "(all, one cache)"];

/// The groups, and then all of them with a cache each, and in one cache, unless each group is the whole trace.
pub(super) fn with_all(all: &Report, groups: &[GroupReport]) -> Vec<GroupReport> {
    let Some(separate) = SeparateCaches::of(groups) else { return groups.to_vec() };
    let sums = [separate.report(), all.clone()];
    let sums = ALL_NAMES.into_iter().map(|name| Some(name.to_owned())).zip(sums);
    groups.iter().cloned().chain(sums).collect()
}

/// Tables with titles: what matters of each group and of all, and what is asked for of caches. `text` makes a value
/// harmless.
pub(super) fn tables(
    field: &str,
    all: &Report,
    groups: &[GroupReport],
    digits: Digits,
    text: fn(&str) -> String,
) -> Vec<(String, Cells)> {
    let groups = &with_all(all, groups)[..];
    let names: Vec<String> = groups.iter().map(|(value, _)| name(value.as_deref(), text)).collect();
    // A table of the columns that each have a header, and a cell for each group.
    let table = |columns: Vec<(String, Vec<String>)>| -> Cells {
        let header = [text(field)].into_iter().chain(columns.iter().map(|(header, _)| header.clone()));
        let row = |(index, name): (usize, &String)| {
            [name.clone()].into_iter().chain(columns.iter().map(|(_, cells)| cells[index].clone())).collect()
        };
        [header.collect()].into_iter().chain(names.iter().enumerate().map(row)).collect()
    };
    let titled = [
        ("each value as a trace of its own", main_columns(groups, digits)),
        (
            if is_by_size(groups) {
                "tokens for a share of all hits"
            } else {
                "blocks for a share of all hits"
            },
            target_columns(groups, digits),
        ),
        ("token hit rates of caches", cache_columns(groups, digits)),
        ("cost with caches", cost_columns(groups, digits)),
        ("shares of prompt tokens that are cold, or gone from a cache", miss_columns(groups, digits)),
    ];
    let some = titled.into_iter().filter(|(_, columns)| !columns.is_empty());
    some.map(|(title, columns)| (format!("By {field}, {title}"), table(columns))).collect()
}

/// The cache that is large enough, where it is asked for and there is something to serve; and what stands
/// before its size if that is not exact.
pub(super) fn enough(report: &Report) -> Option<(&'static str, &CapacityRow)> {
    let row = report.enough.value.as_ref().map(|target| &target.row)?;
    (row.hits.hit_tokens > 0).then_some((about(report.enough.accuracy, report), row))
}

/// What stands before the size of a cache that reaches a share of hits which is only known to be one.
fn about(accuracy: Accuracy, report: &Report) -> &'static str {
    if accuracy == Accuracy::Exact && report.estimate.is_none() { "" } else { "about " }
}

/// A column with what `cell` says of each group, unless it says nothing of any.
fn column(
    header: impl Into<String>,
    groups: &[GroupReport],
    cell: impl Fn(&Report) -> Option<String>,
) -> Option<(String, Vec<String>)> {
    let cells: Vec<_> = groups.iter().map(|(_, report)| cell(report)).collect();
    let is_empty = cells.iter().all(Option::is_none);
    let cells = cells.into_iter().map(|cell| cell.unwrap_or_else(|| "-".to_owned())).collect();
    (!is_empty).then(|| (header.into(), cells))
}

fn main_columns(groups: &[GroupReport], digits: Digits) -> Vec<(String, Vec<String>)> {
    // The same prompts have the same lengths, whatever their blocks are.
    let has_lengths = !is_by_size(groups);
    let mean = |summary: &Option<Summary>| {
        summary.as_ref().filter(|_| has_lengths).map(|summary| digits.real(summary.mean))
    };
    let size = |report: &Report| {
        let (about, row) = enough(report)?;
        let size = row.capacity_bytes?;
        Some(format!("{about}{}", if digits == Digits::All { size.to_string() } else { bytes(size) }))
    };
    let columns = [
        column("Requests", groups, |report| Some(digits.count(report.requests))),
        column("Input Tokens", groups, |report| Some(digits.count(report.input_tokens))),
        column("Mean Input", groups, |report| mean(&report.input_length.value)),
        column("Mean Output", groups, |report| mean(&report.output_length.value)),
        column("Token Hit Rate", groups, |report| {
            marked(report.token_hit_rate.value, report.token_hit_rate.accuracy, digits)
        }),
        column("90 % at Blocks", groups, |report| {
            enough(report).map(|(about, row)| format!("{about}{}", digits.count(row.capacity_blocks)))
        }),
        column("In Tokens", groups, |report| {
            let (about, row) = enough(report)?;
            Some(format!("{about}{}", digits.count(row.capacity_tokens?)))
        }),
        column(if digits == Digits::All { "Bytes" } else { "Size" }, groups, size),
        column("Recorded", groups, |report| Some(digits.real(report.recorded.as_ref()?.token_hit_rate?))),
        column("Possible", groups, |report| {
            let compared = report.recorded.as_ref()?.compared?;
            marked(compared.share(compared.possible_tokens), report.possible, digits)
        }),
    ];
    columns.into_iter().flatten().collect()
}

fn target_columns(groups: &[GroupReport], digits: Digits) -> Vec<(String, Vec<String>)> {
    let shares = groups.first().map_or(&[][..], |(_, report)| &report.targets.value[..]);
    let column = |(place, target): (usize, &TargetRow)| {
        column(format!("{} %", rounded(target.share * 100.0)), groups, |report| {
            let row = &report.targets.value.get(place)?.row;
            let size = row.capacity_tokens.unwrap_or(row.capacity_blocks);
            Some(format!("{}{}", about(report.targets.accuracy, report), digits.count(size)))
        })
    };
    shares.iter().enumerate().filter_map(column).collect()
}

fn cache_columns(groups: &[GroupReport], digits: Digits) -> Vec<(String, Vec<String>)> {
    let is_by_size = is_by_size(groups);
    let sized = cache_names(groups).into_iter().filter_map(|(policy, tokens)| {
        let size = match groups.first() {
            Some((_, first)) if !is_by_size => digits.count(tokens / first.block_size),
            _ => format!("{} tok", digits.count(tokens)),
        };
        column(format!("{policy} {size}"), groups, |report| {
            let mut rows = report.caches.iter().flat_map(|caches| &caches.capacity);
            let blocks = tokens / report.block_size;
            let row = rows.find(|row| row.policy == policy && row.capacity_blocks == blocks)?;
            marked(row.hits.rate(), row.accuracy, digits)
        })
    });
    let ttls = groups.first().map_or(&[][..], |(_, report)| &report.ttls.value[..]);
    let expiring = ttls.iter().enumerate().filter_map(|(place, ttl)| {
        let size =
            ttl.capacity_blocks.map_or_else(String::new, |blocks| format!(", {}", digits.count(blocks)));
        column(format!("{}{size}", ttl.ttl()), groups, |report| {
            // With a curve, each group has sizes of its own.
            let row =
                report.ttls.value.get(place).filter(|row| row.capacity_blocks == ttl.capacity_blocks)?;
            marked(row.hits.rate(), report.ttls.accuracy, digits)
        })
    });
    sized.chain(expiring).collect()
}

fn cost_columns(groups: &[GroupReport], digits: Digits) -> Vec<(String, Vec<String>)> {
    let cost = |cost: Option<f64>, accuracy: Accuracy| marked(cost, accuracy.reversed(), digits);
    let alone = [
        column("No Cache", groups, |report| Some(digits.real(report.price?.cost_without_cache))),
        column("Recorded", groups, |report| Some(digits.real(report.recorded.as_ref()?.cost?.cost))),
        // They may be fewer requests than all, so their cost says nothing beside that of all without a cache.
        column("Saved", groups, |report| Some(digits.real(report.recorded.as_ref()?.cost?.saving))),
    ];
    let sized = cache_names(groups).into_iter().filter_map(|(policy, blocks)| {
        column(format!("{policy} {}", digits.count(blocks)), groups, |report| {
            let mut rows = report.caches.iter().flat_map(|caches| &caches.capacity);
            let row = rows.find(|row| row.policy == policy && row.capacity_blocks == blocks)?;
            cost(Some(row.cost?.cost), row.accuracy)
        })
    });
    let ttls = groups.first().map_or(&[][..], |(_, report)| &report.ttls.value[..]);
    let expiring = ttls.iter().enumerate().filter_map(|(place, ttl)| {
        let size =
            ttl.capacity_blocks.map_or_else(String::new, |blocks| format!(", {}", digits.count(blocks)));
        column(format!("{}{size}", ttl.ttl()), groups, |report| {
            // With a curve, each group has sizes of its own.
            let row =
                report.ttls.value.get(place).filter(|row| row.capacity_blocks == ttl.capacity_blocks)?;
            cost(Some(row.cost?.cost), report.ttls.accuracy)
        })
    });
    let infinite = column("No Limit", groups, |report| {
        cost(Some(report.price?.infinite?.cost), report.cached_tokens.accuracy)
    });
    alone.into_iter().flatten().chain(sized).chain(expiring).chain(infinite).collect()
}

fn miss_columns(groups: &[GroupReport], digits: Digits) -> Vec<(String, Vec<String>)> {
    let shares: Vec<_> = groups.iter().map(|(_, report)| misses::group_shares(report, digits)).collect();
    let names = shares.first().map_or(&[][..], |first| &first[..]).iter().map(|(name, _)| name.clone());
    let cell = |place: usize, shares: &Vec<(String, Option<String>)>| {
        shares.get(place).and_then(|(_, share)| share.clone()).unwrap_or_else(|| "-".into())
    };
    let column = |(place, name)| (name, shares.iter().map(|shares| cell(place, shares)).collect());
    names.enumerate().map(column).collect()
}

fn name(value: Option<&str>, text: fn(&str) -> String) -> String {
    let Some(value) = value else { return OTHERS.into() };
    if value.chars().count() <= LONGEST {
        return text(value);
    }
    let start: String = value.chars().take(LONGEST - 3).collect();
    text(&start) + "..."
}

/// A rate with what it is worth.
fn marked(rate: Option<f64>, accuracy: Accuracy, digits: Digits) -> Option<String> {
    rate.map(|rate| format!("{}{}", mark(accuracy), digits.real(rate)))
}

/// Whether groups have blocks of different sizes.
fn is_by_size(groups: &[GroupReport]) -> bool {
    groups.windows(2).any(|two| two[0].1.block_size != two[1].1.block_size)
}

/// Every finite cache that some group has and that was asked for by its size, since those of curves differ from
/// group to group: its policy and its tokens. Where groups have blocks of different sizes,
/// the first has the smallest, and so the caches whose sizes are rounded least.
fn cache_names(groups: &[GroupReport]) -> Vec<(&'static str, u64)> {
    let mut names = Vec::new();
    let size = groups.first().map_or(0, |(_, report)| report.block_size);
    for (_, report) in groups.iter().filter(|(_, report)| report.block_size == size) {
        let Some(caches) = &report.caches else { continue };
        for row in caches.capacity.iter().filter(|row| caches.named.contains(&row.capacity_blocks)) {
            let name = (row.policy, row.capacity_blocks * size);
            if row.policy != "infinite" && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names.sort_unstable();
    names
}
