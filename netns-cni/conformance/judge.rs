//! Runs the steps of a case and judges what comes of them.

use crate::case::ConformanceCase;
use crate::chain;
use crate::host::{SKIP, shell};
use crate::plugin::{PluginAnswer, PluginUnderTest, answer};
use netns_core::{IfName, IpNet, Namespace, RouteSocket, address, link, route};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// An IPAM plugin to which the plugin under test delegates: it records its calls, and fails if a file says so.
const IPAM: &str = r#"#!/bin/sh
cat > /run/ipam/stdin-$CNI_COMMAND
echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME" >> /run/ipam/calls
if [ -e /run/ipam/fail-$CNI_COMMAND ]; then
  echo '{"cniVersion": "0.4.0", "code": 123, "msg": "as ordered"}'; exit 1
fi
if [ $CNI_COMMAND = ADD ]; then
  version=$(sed -n 's/.*"cniVersion": *"\([0-9.]*\)".*/\1/p' /run/ipam/stdin-ADD)
  case $version in 0.*) family='"version": "4", ';; esac
  echo "{\"cniVersion\": \"$version\", \"ips\": [{${family}\"address\": \"10.77.7.7/24\", \"gateway\": \"10.77.7.1\"}]}"
fi
"#;
const IPAM_NAME: &str = "conformance-ipam";
/// In a case with kills, one in this many system calls is killed.
const STEP: usize = 23;

/// How long the kernel may take to remove what went with a namespace.
const PATIENCE: Duration = Duration::from_secs(5);

struct Judge<'a> {
    plugin: &'a PluginUnderTest,
    version: &'a str,
    /// Whether the plugin is chained after another one.
    chained: bool,
    /// The last result of each container's `ADD`.
    results: BTreeMap<String, Value>,
    last: Option<PluginAnswer>,
}

/// Runs a case.
///
/// # Errors
/// What is not as it should be.
pub(crate) fn run(plugin: &PluginUnderTest, case: &ConformanceCase, version: &str) -> Result<(), String> {
    for name in ["a", "b"] {
        Namespace::create(name).map_err(|error| error.to_string())?;
    }
    fs::create_dir_all("/run/ipam").map_err(|error| error.to_string())?;
    let ipam = format!("/run/ipam/{IPAM_NAME}");
    fs::write(&ipam, IPAM).map_err(|error| error.to_string())?;
    fs::set_permissions(&ipam, fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())?;
    let mut judge = Judge { plugin, version, chained: case.chained, results: BTreeMap::new(), last: None };
    for (number, step) in case.steps.iter().enumerate() {
        judge.step(step).map_err(|why| match why.strip_prefix(SKIP) {
            Some(_) => why,
            None => format!("step {} {step}: {why}", number + 1),
        })?;
    }
    Ok(())
}

impl Judge<'_> {
    fn step(&mut self, step: &Value) -> Result<(), String> {
        match step["do"].as_str() {
            Some("shell") => shell(step["run"].as_str().unwrap_or_default()),
            Some("call") => self.call(step),
            Some("interface") => {
                let result = chain::make_interface(self.version)?;
                self.results.insert("a".to_owned(), result);
                Ok(())
            }
            Some("damage") => chain::damage(),
            Some("parallel") => self.parallel(step),
            Some("kill") => self.kill(step),
            Some("inside") => self.inside(step),
            Some("calls") => Self::ipam_calls(step),
            Some("links") => Self::links(step),
            other => Err(format!("there is no step {other:?}")),
        }
    }

    fn container(step: &Value) -> &str {
        step["container"].as_str().unwrap_or("a")
    }

    fn variables(&self, command: &str, step: &Value) -> BTreeMap<String, String> {
        let container = Self::container(step);
        let mut variables = BTreeMap::from([("CNI_COMMAND".to_owned(), command.to_owned())]);
        variables.insert("CNI_PATH".to_owned(), format!("{}:/run/ipam", self.plugin.path));
        if !matches!(command, "GC" | "STATUS" | "VERSION") {
            variables.insert("CNI_CONTAINERID".to_owned(), container.to_owned());
            variables.insert("CNI_NETNS".to_owned(), format!("/run/netns/{container}"));
            variables.insert("CNI_IFNAME".to_owned(), "eth0".to_owned());
        }
        for (name, value) in step["set"].as_object().into_iter().flatten() {
            variables.insert(name.clone(), value.as_str().unwrap_or_default().to_owned());
        }
        for name in step["unset"].as_array().into_iter().flatten() {
            variables.remove(name.as_str().unwrap_or_default());
        }
        variables
    }

    fn input(&self, command: &str, step: &Value) -> Vec<u8> {
        if let Some(text) = step["stdin"].as_str() {
            return text.as_bytes().to_vec();
        }
        if command == "VERSION" {
            return json!({ "cniVersion": self.version }).to_string().into_bytes();
        }
        let mut conf = self.plugin.conf.clone();
        conf["name"] = json!("conformance");
        conf["cniVersion"] = json!(self.version);
        let gets_one = matches!(command, "DEL" | "CHECK") || command == "ADD" && self.chained;
        let wants_previous = gets_one && step["previous"] != "none";
        if let Some(result) = self.results.get(Self::container(step)).filter(|_| wants_previous) {
            conf["prevResult"] = result.clone();
        }
        if command == "GC" {
            let one = |name: &Value| json!({"containerID": name, "ifname": "eth0"});
            let valid: Vec<Value> = step["valid"].as_array().into_iter().flatten().map(one).collect();
            conf["cni.dev/valid-attachments"] = valid.into();
        }
        if step["ipam"] == true {
            conf["ipam"] = json!({ "type": IPAM_NAME });
        }
        for (key, value) in step["conf"].as_object().into_iter().flatten() {
            if value.is_null() {
                conf.as_object_mut().map(|conf| conf.remove(key));
            } else {
                conf[key] = value.clone();
            }
        }
        conf.to_string().into_bytes()
    }

    fn call(&mut self, step: &Value) -> Result<(), String> {
        let command = step["command"].as_str().unwrap_or_default();
        let answer = self.plugin.call(&self.variables(command, step), &self.input(command, step))?;
        self.judge(command, step, &answer)?;
        if command == "ADD" && answer.is_success {
            let result = answer.json.clone().unwrap_or_default();
            self.results.insert(Self::container(step).to_owned(), result);
        }
        self.last = Some(answer);
        Ok(())
    }

    fn judge(&self, command: &str, step: &Value, answer: &PluginAnswer) -> Result<(), String> {
        if step["fails"].is_null() && step["code"].is_null() {
            return self.judge_success(command, step, answer);
        }
        if answer.is_success {
            return Err(format!("it succeeded: {}", answer.text));
        }
        let Some(json) = &answer.json else {
            return Err(format!("the error is no JSON on stdout: {:?}", answer.text));
        };
        let (code, message) = (json["code"].as_u64(), json["msg"].as_str());
        let (Some(code), Some(message)) = (code, message) else {
            return Err(format!("the error has no code or no msg: {json}"));
        };
        if step["code"].as_u64().is_some_and(|wanted| wanted != code) {
            return Err(format!("the code is {code}: {json}"));
        }
        if step["has_version"] == true && json["cniVersion"] != self.version {
            return Err(format!("the error has not the configuration's cniVersion: {json}"));
        }
        let all = format!("{message} {}", json["details"].as_str().unwrap_or_default());
        match step["names"].as_str() {
            Some(word) if !all.contains(word) => Err(format!("the message does not name {word}: {json}")),
            _ => Ok(()),
        }
    }

    fn judge_success(&self, command: &str, step: &Value, answer: &PluginAnswer) -> Result<(), String> {
        if !answer.is_success {
            return Err(format!("it failed: {}", answer.text.trim_end()));
        }
        match command {
            "ADD" => self.judge_result(step, answer.json.as_ref().ok_or("the result is no JSON")?),
            "VERSION" => {
                let json = answer.json.as_ref().ok_or("the answer is no JSON")?;
                if json["cniVersion"] != self.version && step["echo"] == true {
                    return Err(format!("cniVersion is not the one of the input: {json}"));
                }
                let list = json["supportedVersions"].as_array().ok_or("supportedVersions is no list")?;
                list.contains(&json!(self.version)).then_some(()).ok_or_else(|| format!("not listed: {json}"))
            }
            _ if answer.text.trim().is_empty() => Ok(()),
            _ => Err(format!("there is output: {}", answer.text)),
        }
    }

    /// Whether the result has the version's form and matches the container's namespace.
    fn judge_result(&self, step: &Value, result: &Value) -> Result<(), String> {
        let wrong = |why: &str| Err(format!("{why}: {result}"));
        if result["cniVersion"] != self.version {
            return wrong("cniVersion is not the one of the input");
        }
        let container = Self::container(step);
        let previous = self.results.get(container).filter(|_| self.chained);
        if previous.is_some_and(|previous| !chain::is_handed_on(previous, result)) {
            return wrong("it is not the result of the plugin before");
        }
        let sandbox = format!("/run/netns/{container}");
        let interfaces = result["interfaces"].as_array().cloned().unwrap_or_default();
        let inside: Vec<usize> = interfaces
            .iter()
            .enumerate()
            .filter(|(_, interface)| interface["sandbox"] == sandbox.as_str())
            .map(|(position, _)| position)
            .collect();
        if !inside.iter().any(|&position| interfaces[position]["name"] == "eth0") {
            return wrong("no interface is eth0 in the sandbox CNI_NETNS");
        }
        let is_old = self.version < "1.0.0";
        for ip in result["ips"].as_array().into_iter().flatten() {
            let Some(net) = ip["address"].as_str().and_then(|text| text.parse::<IpNet>().ok()) else {
                return wrong("an address is not in CIDR notation");
            };
            let family = if net.address().is_ipv4() { "4" } else { "6" };
            if is_old && ip["version"] != family {
                return wrong("an address is without its version, which was so before 1.0.0");
            }
            if !is_old && ip.get("version").is_some() {
                return wrong("an address has a version, which went with 1.0.0");
            }
            let position = ip["interface"].as_u64().and_then(|position| usize::try_from(position).ok());
            let Some(position) = position.filter(|&position| position < interfaces.len()) else {
                return wrong("an address has no index of an interface of the list");
            };
            if inside.contains(&position) && !has_address(container, net)? {
                return Err(format!("the container has not the address {net}"));
            }
        }
        Ok(())
    }

    /// What the container's namespace has.
    fn inside(&self, step: &Value) -> Result<(), String> {
        let container = Self::container(step);
        let name = step["link"].as_str().unwrap_or("eth0");
        let there = has_link(container, name)?;
        if there != step["there"].as_bool().unwrap_or(true) {
            return Err(format!("{name} is {}there", if there { "" } else { "not " }));
        }
        if step["routes"] == true {
            let namespace = Namespace::open(container).map_err(|error| error.to_string())?;
            let mut socket = RouteSocket::open_in(&namespace).map_err(|error| error.to_string())?;
            let routes = route::list(&mut socket).map_err(|error| error.to_string())?;
            let result = self.results.get(container).cloned().unwrap_or_default();
            for wanted in result["routes"].as_array().into_iter().flatten() {
                let dst = wanted["dst"].as_str().and_then(|text| text.parse::<IpNet>().ok());
                if !routes.iter().any(|route| Some(route.destination) == dst) {
                    return Err(format!("the container has not the route {wanted}"));
                }
            }
        }
        Ok(())
    }

    /// Which calls the IPAM plugin got, and with what input.
    fn ipam_calls(step: &Value) -> Result<(), String> {
        let calls = fs::read_to_string("/run/ipam/calls").unwrap_or_default();
        let _ = fs::remove_file("/run/ipam/calls");
        let wanted = step["are"].as_array().cloned().unwrap_or_default();
        let commands: Vec<Value> =
            calls.lines().map(|line| line.split(' ').next().unwrap_or_default().into()).collect();
        if commands != wanted {
            return Err(format!("the delegated plugin's calls were {}", Value::from(commands)));
        }
        for (command, keys) in step["given"].as_object().into_iter().flatten() {
            let text = fs::read_to_string(format!("/run/ipam/stdin-{command}")).unwrap_or_default();
            let conf: Value = serde_json::from_str(&text).unwrap_or_default();
            for key in keys.as_array().into_iter().flatten() {
                if conf.get(key.as_str().unwrap_or_default()).is_none() {
                    return Err(format!("the delegated plugin was not given the key {key}: {text}"));
                }
            }
        }
        Ok(())
    }

    /// How many links of the host are one end of a pair. Where the container's namespace is gone, the kernel takes them away
    /// in its own time, so they are given some.
    fn links(step: &Value) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut socket = RouteSocket::open().map_err(|error| error.to_string())?;
            let links = link::list(&mut socket).map_err(|error| error.to_string())?;
            let names: Vec<String> =
                links.iter().filter(|link| link.is_pair()).map(|link| link.name.to_string()).collect();
            if step["pairs"].as_u64() == Some(names.len() as u64) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("the host has these ends of pairs: {names:?}"));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Calls for several containers at once, and one result after the other.
    fn parallel(&mut self, step: &Value) -> Result<(), String> {
        let count = step["count"].as_u64().unwrap_or(8);
        let command = step["command"].as_str().unwrap_or_default();
        let mut calls = Vec::new();
        for number in 0..count {
            let name = format!("p{number}");
            if !Namespace::list().map_err(|error| error.to_string())?.contains(&name) {
                Namespace::create(&name).map_err(|error| error.to_string())?;
            }
            let mut step = step.clone();
            step["container"] = name.into();
            let (variables, input) = (self.variables(command, &step), self.input(command, &step));
            calls.push((step, variables, input));
        }
        let plugin = self.plugin;
        let answers: Vec<_> = thread::scope(|scope| {
            let started: Vec<_> = calls
                .iter()
                .map(|(_, variables, input)| scope.spawn(move || plugin.call(variables, input)))
                .collect();
            started
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| Err("a panic".to_owned())))
                .collect()
        });
        let mut addresses = Vec::new();
        for ((step, ..), answer) in calls.iter().zip(answers) {
            let answer = answer?;
            self.judge(command, step, &answer)?;
            if command == "ADD" {
                let result = answer.json.unwrap_or_default();
                addresses.extend(
                    result["ips"].as_array().into_iter().flatten().map(|ip| ip["address"].to_string()),
                );
                self.results.insert(Self::container(step).to_owned(), result);
            }
        }
        addresses.sort_unstable();
        let all = addresses.len();
        addresses.dedup();
        if addresses.len() < all { Err("two containers have one address".to_owned()) } else { Ok(()) }
    }

    /// Kills an `ADD` at a sample of its system calls, and after each lets the plugin clean up.
    fn kill(&self, step: &Value) -> Result<(), String> {
        if Command::new("strace").arg("-V").output().is_err() {
            return Err(format!("{SKIP}strace is missing"));
        }
        let (variables, input) = (self.variables("ADD", step), self.input("ADD", step));
        let traced = |options: &[&str]| {
            let mut strace = Command::new("strace");
            strace.args(["-f", "-qq"]).args(options).arg(self.plugin.file()).env_clear();
            strace.env("PATH", std::env::var_os("PATH").unwrap_or_default()).envs(&variables);
            answer(&mut strace, &input)
        };
        traced(&["-o", "/run/trace"])?;
        self.clean_up(step)?;
        let trace = fs::read_to_string("/run/trace").map_err(|error| error.to_string())?;
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        let mut calls = Vec::new();
        for line in trace.lines().filter(|line| !line.contains("ERESTART")) {
            let name = line.split_once(' ').and_then(|(_, call)| call.trim_start().split_once('('));
            let Some((name, _)) = name else { continue };
            let count = counts.entry(name).or_insert(0);
            *count += 1;
            calls.push((name, *count));
        }
        for (name, count) in calls.iter().skip(1).step_by(STEP).filter(|(name, _)| *name != "execve") {
            let inject = format!("inject={name}:signal=KILL:when={count}");
            traced(&["-o", "/dev/null", "-e", "trace=all", "-e", &inject])?;
            self.clean_up(step).map_err(|why| format!("after a kill at {name} {count}: {why}"))?;
        }
        Ok(())
    }

    fn clean_up(&self, step: &Value) -> Result<(), String> {
        let command = step["then"].as_str().unwrap_or("DEL");
        let answer = self.plugin.call(&self.variables(command, step), &self.input(command, step))?;
        if !answer.is_success {
            return Err(format!("{command} failed: {}", answer.text));
        }
        if has_link("a", "eth0")? {
            return Err(format!("eth0 is there after {command}"));
        }
        Self::links(&json!({"pairs": 0}))
    }
}

fn has_link(container: &str, name: &str) -> Result<bool, String> {
    let namespace = Namespace::open(container).map_err(|error| error.to_string())?;
    let mut socket = RouteSocket::open_in(&namespace).map_err(|error| error.to_string())?;
    let name = IfName::new(name).map_err(|error| error.to_string())?;
    Ok(link::get(&mut socket, name).is_ok())
}

fn has_address(container: &str, net: IpNet) -> Result<bool, String> {
    let namespace = Namespace::open(container).map_err(|error| error.to_string())?;
    let mut socket = RouteSocket::open_in(&namespace).map_err(|error| error.to_string())?;
    let addresses = address::list(&mut socket).map_err(|error| error.to_string())?;
    Ok(addresses.iter().any(|address| address.net == net))
}
