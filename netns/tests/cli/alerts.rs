//! The alert rules that are packaged with the command: Prometheus' own tool reads them, and each alert fires on what it
//! is for.

use std::fs;
use tests::{Scratch, in_host, oracle, run};

const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/prometheus/netns.rules.yml");

/// An alert, the series that raise it (their values, one a minute), and what its labels and text say besides its
/// summary.
const ALERTS: [(&str, &str, &str); 5] = [
    ("NetnsObserverGone", "up{job=\"netns\"} 1 0 0 0", "job: netns, severity: page"),
    (
        "NetnsEnforcementLost",
        "netns_enforcement_lost_total{instance=\"h\"} 0 0 1 1",
        "instance: h, severity: page",
    ),
    (
        "NetnsNothingJudged",
        "netns_counters_info{counters=\"kernel\",network=\"br0\"} 1 1 1 1",
        "counters: kernel, network: br0, severity: page",
    ),
    (
        "NetnsNewViolations",
        "netns_violations_total{network=\"br0\",port=\"v1\",namespace=\"a\",reason=\"ether-type\"} 0 0 5 9",
        "network: br0, port: v1, namespace: a, reason: ether-type",
    ),
    ("NetnsPairsLost", "netns_pair_lost_bytes_total{network=\"br0\"} 0 0 9 9", "network: br0"),
];

#[test]
fn each_alert_fires_on_what_it_is_for() {
    // It needs no host, but a missing tool skips the test by ending its host's thread.
    in_host(|_| each_alert());
}

fn each_alert() {
    let rules = fs::read_to_string(RULES).unwrap();
    assert_eq!(rules.matches("- alert: ").count(), ALERTS.len());
    let scratch = Scratch::new();
    for (alert, series, labels) in ALERTS {
        assert!(rules.contains(&format!("- alert: {alert}\n")), "{alert}");
        let (series, values) = series.split_once(' ').unwrap();
        // Values with which nothing is wrong raise no alert.
        let calm = if alert == "NetnsObserverGone" { "1 1 1 1" } else { "0 0 0 0" };
        for (values, is_raised) in [(values, true), (calm, false)] {
            // The summary is in the rule, with placeholders for the labels.
            let summary = rules.split_once(&format!("alert: {alert}\n")).unwrap().1;
            let mut summary =
                summary.split_once("summary: \"").unwrap().1.split_once('"').unwrap().0.to_owned();
            for (label, value) in labels.split(", ").map(|label| label.split_once(": ").unwrap()) {
                summary = summary.replace(&format!("{{{{ $labels.{label} }}}}"), value);
            }
            summary = summary.replace("{{ $labels.instance }}", "");
            let expected = if is_raised {
                format!("[{{ exp_labels: {{ {labels} }}, exp_annotations: {{ summary: '{summary}' }} }}]")
            } else {
                "[]".to_owned()
            };
            let test = format!(
                "rule_files: ['{RULES}']\nevaluation_interval: 1m\ntests:\n- interval: 1m\n  input_series:\n  - series: \
                 '{series}'\n    values: '{values}'\n  alert_rule_test:\n  - eval_time: 3m\n    alertname: {alert}\n    \
                 exp_alerts: {expected}\n"
            );
            let file = scratch.path().join("test.yml");
            fs::write(&file, &test).unwrap();
            let _ = run(oracle("promtool").args(["test", "rules"]).arg(&file));
        }
    }
}

#[test]
fn alerts_use_only_metrics_that_exist() {
    let families = include_str!("../../src/watch/metrics/families.rs");
    let others = include_str!("../../src/watch/metrics/mod.rs");
    let rules = fs::read_to_string(RULES).unwrap();
    let words = rules.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    let metrics: Vec<&str> = words.filter(|word| word.starts_with("netns_")).collect();
    assert!(metrics.len() > 4, "{metrics:?}");
    for metric in metrics {
        let quoted = format!("\"{metric}\"");
        assert!(families.contains(&quoted) || others.contains(&quoted), "{metric}");
    }
}
