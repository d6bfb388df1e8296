//! `--metrics`: what Prometheus itself makes of it, and what other clients can do.

use crate::watched::Watched;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use tests::{eventually, in_host, ip, ip_json, only, oracle, until, without_ipv6};

pub(crate) const PORT: u16 = 9753;
const PROMETHEUS: u16 = 9090;

/// The response to `GET`: the status line and the body.
fn get(port: u16, path: &str) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.lines().next()?.to_owned(), body.to_owned()))
}

pub(crate) fn metrics() -> String {
    let (status, body) = until("an answer", || get(PORT, "/metrics"));
    assert_eq!(status, "HTTP/1.1 200 OK");
    body
}

/// Two namespaces on a bridge that is observed from their first frame on.
fn observed() -> Watched {
    ip("link add br0 type bridge mcast_snooping 0");
    std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap();
    ip("link set br0 up");
    let arguments = format!("observe br0 --json --interval 0.1 --metrics {PORT} --metrics-pairs 10");
    let mut observe = Watched::start(&arguments);
    for number in [1, 2] {
        ip(&format!("netns add ns{number}"));
        ip(&format!("link add v{number} type veth peer name eth0 netns ns{number}"));
        without_ipv6(&format!("ns{number}"));
        ip(&format!("-n ns{number} addr add 10.1.1.{number}/24 dev eth0"));
        ip(&format!("-n ns{number} link set eth0 up"));
        ip(&format!("link set v{number} master br0"));
        observe.line("known", |line| line["event"] == "known" && line["port"] == format!("v{number}"));
        ip(&format!("link set v{number} up"));
    }
    let _ = tests::run(
        oracle("ip")
            .args(["netns", "exec", "ns1", "ping", "-q", "-c9", "-i0.02", "-s999", "-W2", "10.1.1.2"]),
    );
    observe
}

/// A server that ends with this value.
struct Prometheus(Child);

impl Prometheus {
    fn start() -> Self {
        let folder = "/run/prometheus";
        std::fs::create_dir(folder).unwrap();
        let config = format!(
            "scrape_configs:\n- job_name: netns\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  static_configs:\n  - targets: ['127.0.0.1:{PORT}']\n"
        );
        std::fs::write(format!("{folder}/config.yml"), config).unwrap();
        let mut server = oracle("prometheus");
        server.arg(format!("--config.file={folder}/config.yml"));
        server.arg(format!("--storage.tsdb.path={folder}/data"));
        server.arg(format!("--web.listen-address=127.0.0.1:{PROMETHEUS}"));
        Self(server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The value of the one series that a query finds.
fn query(query: &str) -> Option<u64> {
    // Prometheus has other things to do.
    std::thread::sleep(Duration::from_millis(100));
    let encoded = query.bytes().fold(String::new(), |text, byte| text + &format!("%{byte:02X}"));
    let (_, body) = get(PROMETHEUS, &format!("/api/v1/query?query={encoded}"))?;
    // Its answers may come in chunks, with their lengths on lines between.
    let json = &body[body.find('{')?..=body.rfind('}')?];
    let answer: Value = serde_json::from_str(json).ok()?;
    match answer["data"]["result"].as_array()?.as_slice() {
        [series] => series["value"][1].as_str()?.parse().ok(),
        _ => None,
    }
}

/// Compares what Prometheus has of a port with what the kernel has.
fn assert_has_the_kernels_numbers(port: &str, labels: &str) {
    for (way, name) in [("rx", "receive"), ("tx", "transmit")] {
        for what in ["bytes", "packets"] {
            let series = format!("netns_port_{name}_{what}_total{{{labels}}}");
            // Read anew each time: neighbours ask whether the other is still there.
            let kernel = || only(&ip_json(&format!("-s link show {port}")))["stats64"][way][what].as_u64();
            assert!(kernel() > Some(8));
            eventually(&format!("{series} is the kernel's"), || query(&series) == kernel());
        }
    }
}

#[test]
fn prometheus_has_the_kernels_numbers() {
    in_host(|_| {
        let observe = observed();
        let prometheus = Prometheus::start();
        for number in [1, 2] {
            let labels = format!("network=\"br0\",port=\"v{number}\",namespace=\"ns{number}\"");
            assert_has_the_kernels_numbers(&format!("v{number}"), &labels);
        }
        assert_eq!(query("netns_ports"), Some(2));
        assert_eq!(
            query("netns_pair_bytes_total{from=\"v1\",to=\"v2\"} > 9000").map(|bytes| bytes > 9000),
            Some(true)
        );
        drop(prometheus);
        assert_eq!(observe.end("INT").code, Some(0));
    });
}

/// `promtool check metrics`.
fn assert_promtool_is_content(text: &str) {
    let mut promtool = oracle("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    assert_eq!(
        (said.status.code(), said.stdout, String::from_utf8(said.stderr).unwrap()),
        (Some(0), Vec::new(), String::new()),
        "{text}"
    );
}

#[test]
fn promtool_is_content_and_ports_that_are_gone_have_no_series() {
    in_host(|_| {
        let mut observe = observed();
        let text = metrics();
        assert_promtool_is_content(&text);
        for series in [
            "netns_port_receive_bytes_total{namespace=\"ns1\",network=\"br0\",port=\"v1\"} ",
            "netns_pair_bytes_total{from=\"v1\",network=\"br0\",to=\"v2\"} ",
            "netns_ports{network=\"br0\"} 2",
            "netns_events_lost_total 0",
            "netns_setup_seconds_count 0",
            "netns_build_info{version=\"",
        ] {
            assert!(text.contains(series), "{series} is not in\n{text}");
        }
        ip("link del v1");
        observe.line("left", |line| line["event"] == "left");
        observe.line("counters", |line| line["type"] == "counters");
        let text = metrics();
        assert!(!text.contains("v1\""), "{text}");
        assert!(text.contains("port=\"v2\""), "{text}");
        assert_eq!(observe.end("INT").code, Some(0));
    });
}

#[test]
fn bad_and_slow_clients_do_no_harm() {
    in_host(|_| {
        let mut observe = observed();
        for (path, status) in [("/", "HTTP/1.1 404 Not Found"), ("/metrics?x=1", "HTTP/1.1 200 OK")] {
            assert_eq!(get(PORT, path).unwrap().0, status);
        }
        let send = |bytes: &[u8]| {
            let mut stream = TcpStream::connect(("127.0.0.1", PORT)).unwrap();
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(Shutdown::Write);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
        };
        assert_eq!(send(b"\x16\x03\x01\x02\x00\x01"), "HTTP/1.1 400 Bad Request");
        assert_eq!(send(b"POST /metrics HTTP/1.1\r\n\r\n"), "HTTP/1.1 405 Method Not Allowed");
        assert_eq!(send(b"HEAD /metrics HTTP/1.1\r\n\r\n"), "HTTP/1.1 200 OK");
        assert_eq!(send(b"GET /metr"), "HTTP/1.1 400 Bad Request");
        send(&vec![b'x'; 100_000]);

        // Silent connections are closed, and meanwhile everything is counted.
        let mut silent: Vec<TcpStream> =
            (0..200).map(|_| TcpStream::connect(("127.0.0.1", PORT)).unwrap()).collect();
        observe.line("counters", |line| line["type"] == "counters");
        let started = Instant::now();
        for stream in &mut silent {
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut nothing = [0];
            assert!(!matches!(stream.read(&mut nothing), Ok(1)));
        }
        assert!(started.elapsed() < Duration::from_secs(15));
        assert!(metrics().contains("netns_ports"));
        assert_eq!(observe.end("INT").code, Some(0));
    });
}

#[test]
fn a_run_serves_metrics_and_reports_a_taken_address_before_it_starts() {
    in_host(|_| {
        let arguments = format!("run --attack --json --interval 0.1 --metrics 127.0.0.1:{PORT}");
        let mut run = Watched::start(&arguments);
        let counters = run.line("counters", |line| line["type"] == "counters");
        let text = metrics();
        assert_promtool_is_content(&text);
        // Prometheus reports an attacker as the lines do.
        let violations = counters["ports"][0]["violations"].as_object().unwrap();
        assert!(violations.len() > 20, "{violations:?}");
        for (reason, packets) in violations {
            let labels = format!("namespace=\"ns1\",network=\"br0\",port=\"veth-ns1\",reason=\"{reason}\"");
            let series = format!("netns_violations_total{{{labels}}} {packets}\n");
            assert!(text.contains(&series), "{series} is not in\n{text}");
        }
        for series in [
            "netns_setup_seconds_count 2",
            "netns_setup_seconds_bucket{le=\"+Inf\"} 2",
            "netns_port_transmit_packets_total{namespace=\"ns2\",network=\"br0\",port=\"veth-ns2\"} ",
        ] {
            assert!(text.contains(series), "{series} is not in\n{text}");
        }
        assert!(!text.contains("netns_pair_bytes_total"), "pairs only if asked for");
        let refused = crate::done(&mut crate::xtask(&format!("observe br0 --once --metrics {PORT}")));
        assert_eq!(refused.code, Some(1));
        assert!(refused.err.contains("127.0.0.1:9753: Address already in use"), "{}", refused.err);
        let _ = run.end("INT");
    });
}

#[test]
fn prometheus_has_the_kernels_numbers_of_a_run() {
    in_host(|_| {
        // Nobody reads its lines meanwhile, so they have to fit into the pipe.
        let mut run = Watched::start(&format!("run --json --interval 1 --metrics {PORT}"));
        run.line("counters", |line| line["type"] == "counters");
        let prometheus = Prometheus::start();
        eventually("both ports are known", || query("netns_ports") == Some(2));
        // While it runs, its own traffic continues: what Prometheus has lies between two readings of the kernel's.
        let received = || only(&ip_json("-s link show veth-ns1"))["stats64"]["rx"]["bytes"].as_u64();
        let before = received();
        let series = "netns_port_receive_bytes_total{port=\"veth-ns1\"}";
        let reported = until("a later reading", || query(series).filter(|bytes| Some(*bytes) >= before));
        assert!(Some(reported) <= received());
        // Once all is quiet, it has what the kernel has.
        for number in [1, 2] {
            let quiet = "add table inet quiet; \
                         add chain inet quiet out { type filter hook output priority 0; policy drop; }";
            let namespace = ["netns", "exec", &format!("ns{number}"), "nft"];
            assert_eq!(tests::run(oracle("ip").args(namespace).arg(quiet)), "");
        }
        for number in [1, 2] {
            let labels = format!("network=\"br0\",port=\"veth-ns{number}\",namespace=\"ns{number}\"");
            assert_has_the_kernels_numbers(&format!("veth-ns{number}"), &labels);
        }
        drop(prometheus);
        assert_eq!(run.end("INT").code, Some(0));
    });
}

#[test]
fn the_dashboard_uses_only_metrics_that_exist() {
    in_host(|_| {
        let dashboard =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/grafana/netns.json")).unwrap();
        let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
        // A run has all of them; its attack makes the violations.
        let arguments =
            "run --attack --json --interval 0.1 --metrics-pairs --verdicts --limit quota=1tb --metrics";
        let mut run = Watched::start(&format!("{arguments} {PORT}"));
        run.line("counters", |line| line["type"] == "counters");
        let text = metrics();
        let mut seen = 0;
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let query = target["expr"].as_str().unwrap();
                let words = query.split(|character: char| !(character.is_alphanumeric() || character == '_'));
                for name in words.filter(|word| word.starts_with("netns_")) {
                    assert!(text.contains(&format!("\n{name}")), "{name} of {query}");
                    seen += 1;
                }
            }
        }
        assert!(seen >= 10);
        assert_eq!(run.end("INT").code, Some(0));
    });
}

#[test]
fn other_methods_than_get_and_a_port_that_the_kernel_chooses() {
    in_host(|_| {
        ip("link add br0 type bridge");
        let mut observe = crate::bare();
        let observe = observe.args("observe br0 --duration 20 --json --metrics 0".split(' '));
        let mut observe =
            observe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = std::io::BufReader::new(observe.stderr.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut said, &mut line).unwrap();
        let port = line
            .strip_prefix("metrics at http://127.0.0.1:")
            .and_then(|rest| rest.strip_suffix("/metrics\n"));
        let port: u16 = port.unwrap_or_else(|| panic!("{line}")).parse().unwrap();
        let ask = |request: &str| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            write!(stream, "{request} HTTP/1.1\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            (head.to_owned(), body.to_owned())
        };
        let (head, body) = ask("GET /metrics");
        assert!(head.starts_with("HTTP/1.1 200") && body.contains("netns_build_info"), "{head}");
        let (head, body) = ask("HEAD /metrics");
        assert!(
            head.starts_with("HTTP/1.1 200") && head.contains("Content-Length: ") && body.is_empty(),
            "{head}"
        );
        let (head, _) = ask("HEAD /elsewhere");
        assert!(head.starts_with("HTTP/1.1 404"), "{head}");
        let (head, _) = ask("DELETE /metrics");
        assert!(head.starts_with("HTTP/1.1 405") && head.contains("\r\nAllow: GET, HEAD\r\n"), "{head}");
        tests::signal("INT", observe.id());
        assert_eq!(observe.wait().unwrap().code(), Some(0));
    });
}

#[test]
fn metrics_are_served_at_their_address_and_nowhere_else() {
    in_host(|_| {
        ip("link add br0 type bridge");
        ip("addr add 10.1.1.254/24 dev br0");
        ip("link set br0 up");
        let curl = |host: &str, url: &str| {
            let mut curl = oracle("curl");
            curl.args(["--silent", "--noproxy", "*", "--max-time", "10"]).arg(format!("http://{host}:{url}"));
            let output = curl.output().unwrap();
            (output.status.code(), String::from_utf8(output.stdout).unwrap())
        };
        // Seven is curl's exit code for a refused connection.
        for (served, elsewhere) in [(format!("localhost:{PORT}"), Some(7)), (format!(":{PORT}"), Some(0))] {
            let mut observe =
                Watched::start(&format!("observe br0 --json --interval 0.1 --metrics {served}"));
            observe.line("it is observed", |line| line["type"] == "counters");
            let url = format!("{PORT}/metrics");
            for (host, code) in [("localhost", Some(0)), ("127.0.0.1", Some(0)), ("10.1.1.254", elsewhere)] {
                let (ended, body) = curl(host, &url);
                assert_eq!(ended, code, "{served} asked for at {host}");
                assert_eq!(body.contains("\nnetns_ports{"), code == Some(0), "{served} at {host}: {body}");
            }
            assert_eq!(observe.end("INT").code, Some(0));
        }
    });
}

#[test]
fn names_cannot_control_a_terminal() {
    in_host(|_| {
        ip("link add br0 type bridge mcast_snooping 0");
        ip("link set br0 up");
        ip("link add v\u{1b}[2J\u{9b}1m type veth peer name inside");
        ip("link set v\u{1b}[2J\u{9b}1m master br0 up");
        let mut observe = Watched::start(&format!("observe br0 --json --interval 0.1 --metrics {PORT}"));
        observe.line("counters", |line| line["ports"].as_array().is_some_and(|ports| ports.len() == 1));
        let text = until("a reading", || Some(metrics()).filter(|text| text.contains("netns_port_receive")));
        assert!(!text.contains(|letter: char| letter.is_control() && letter != '\n'), "{text:?}");
        assert!(text.contains(r#"port="v\\x1b[2J\\x9b1m""#), "{text}");
        assert_eq!(observe.end("INT").code, Some(0));
    });
}
