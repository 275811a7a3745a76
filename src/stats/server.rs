//! The counters of a server, as scraped in Prometheus' text format.

use serde::Serialize;

use crate::stats::cache::Hits;

/// What a server counted since it was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ServerHits {
    /// Which kind of server: `vllm`, `sglang` or `lmcache`.
    pub server: &'static str,
    /// Prompt tokens from its cache, and all of them.
    #[serde(flatten)]
    pub hits: Hits,
}

/// Kinds of servers, and the names of their counters of hits and of all prompt tokens.
const COUNTERS: [(&str, &str, &str); 3] = [
    ("vllm", "vllm:prefix_cache_hits", "vllm:prefix_cache_queries"),
    ("sglang", "sglang:cached_tokens", "sglang:prompt_tokens"),
    ("lmcache", "lmcache:num_lookup_hits", "lmcache:num_lookup_tokens"),
];

impl ServerHits {
    /// The counters in a scrape, summed over their labels, of each kind of server that has them.
    ///
    /// # Errors
    /// When there are none or those of several models, a counter is no number, or there are more hits than tokens.
    pub fn of_scrape(text: &str) -> Result<Vec<Self>, String> {
        let mut found = Vec::new();
        for (server, hits, tokens) in COUNTERS {
            let models = models(text, tokens);
            if let [first, second, ..] = &models[..] {
                return Err(format!(
                    "counters of {} models ({first}, {second}, ...), which have caches of their own: give the lines of one \
                     (grep 'model_name=\"{first}\"') beside its part of the trace",
                    models.len()
                ));
            }
            if let (Some(hit_tokens), Some(all)) = (sum(text, hits)?, sum(text, tokens)?) {
                if hit_tokens > all {
                    return Err(format!("{hits}: {hit_tokens} tokens, and {tokens}: {all}, which is less"));
                }
                let tokens = all;
                found.push(Self { server, hits: Hits { hit_tokens, tokens } });
            }
        }
        if found.is_empty() {
            let names = COUNTERS.map(|(_, hits, _)| hits).join(", ");
            return Err(format!("no counter of a prefix cache ({names})"));
        }
        Ok(found)
    }
}

/// The models that the labels of a counter name.
fn models<'t>(text: &'t str, name: &str) -> Vec<&'t str> {
    let of_line = |line: &'t str| {
        let labels = line.trim_start().strip_prefix(name)?;
        Some(labels.split_once("model_name=\"")?.1.split_once('"')?.0)
    };
    let mut models: Vec<&str> = text.lines().filter_map(of_line).collect();
    models.sort_unstable();
    models.dedup();
    models
}

/// The sum of a counter over its labels, if it is there.
fn sum(text: &str, name: &str) -> Result<Option<u128>, String> {
    let mut sum = None;
    for line in text.lines() {
        let Some(rest) = line.trim_start().strip_prefix(name) else { continue };
        let rest = rest.strip_prefix("_total").unwrap_or(rest);
        // The labels, in which there may be anything but a line's end, and then the value.
        let value = match rest.strip_prefix('{') {
            Some(labels) => labels.rsplit_once('}').map(|(_, value)| value),
            None => Some(rest).filter(|rest| rest.starts_with([' ', '\t'])),
        };
        let Some(value) = value else { continue };
        let number = value.split_ascii_whitespace().next().and_then(|value| value.parse::<f64>().ok());
        let number = number.filter(|number| (0.0..1e30).contains(number));
        let number = number.ok_or_else(|| format!("{name}: expected a number, found{value}"))?;
        *sum.get_or_insert(0) += number as u128;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_over_their_labels() {
        let text = "# HELP vllm:prefix_cache_hits_total hits\n\
                    vllm:prefix_cache_hits_total{engine=\"0\",model_name=\"a}b\"} 1.5e+03\n\
                    vllm:prefix_cache_hits_total{engine=\"1\"} 20.0\n\
                    vllm:prefix_cache_hits_created{engine=\"0\"} 1.7e9\n\
                    vllm:prefix_cache_queries_total 4000 1700000000\n\
                    sglang:cached_tokens_total{cache_source=\"device\"} 7\n";
        let found = ServerHits::of_scrape(text).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].server, found[0].hits), ("vllm", Hits { hit_tokens: 1520, tokens: 4000 }));
        assert!(ServerHits::of_scrape("up 1\n").is_err());
        assert!(ServerHits::of_scrape("vllm:prefix_cache_hits{} x\n").is_err());
        let two = "vllm:prefix_cache_hits_total{model_name=\"a\"} 1\nvllm:prefix_cache_queries_total{model_name=\"a\"} 2\n";
        assert_eq!(ServerHits::of_scrape(two).unwrap().len(), 1);
        let two = two.to_owned() + &two.replace("\"a\"", "\"b\"");
        let refused = ServerHits::of_scrape(&two).unwrap_err();
        assert!(refused.starts_with("counters of 2 models (a, b, ...)"), "{refused}");
        let more = ServerHits::of_scrape("vllm:prefix_cache_hits 5\nvllm:prefix_cache_queries 4\n");
        assert_eq!(
            more.unwrap_err(),
            "vllm:prefix_cache_hits: 5 tokens, and vllm:prefix_cache_queries: 4, which is less"
        );
    }
}
