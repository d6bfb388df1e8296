//! `egress`: where containers may send to, by a policy that all ports of a network share.
//!
//! The programs that a bridge holds have places for policies. The bridge's record says whose policy is in which place and from
//! what it was made. It is locked from the look-up until the port has its policy, so that no place goes to another network in
//! between.

use super::config::BridgeConfig;
use crate::attachment_result::AttachmentResult;
use crate::attachments;
use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::held;
use crate::keys::{ConfigKeys, wrong};
use netns_core::record::Line;
use netns_ebpf::packet::{EgressPrefix, EgressRule, NoEgressList, NoEgressRule};
use netns_ebpf::{EgressPolicy, EgressRules, EgressTable, HeldMonitor, Mode, Slot};
use serde_json::Value;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::path::Path;

const KEY: &str = "egress";
/// The line of a policy, of a bridge's record: the program, the place, the network, the subnets that are allowed besides, and what the
/// policy was made of.
const POLICY: &str = "egress";
/// Marks a policy that is being written: no policy has this source.
const UNFINISHED: u64 = 0;

/// The policy that a configuration asks for.
#[derive(Debug, Clone)]
pub(super) struct NetworkEgress {
    rules: EgressRules,
}

impl NetworkEgress {
    /// The key's value: the policy itself or the path of its file; `None` without the key.
    pub(super) fn read(config: &BridgeConfig) -> Outcome<Option<Self>> {
        let rules = match &config.egress {
            None => return Ok(None),
            Some(Value::String(path)) => {
                let path = Path::new(path);
                if !path.is_absolute() {
                    let why = format!("egress is {}: the path of a file begins with /", path.display());
                    return Err(CniFailure::new(FailureCode::InvalidConfig, why));
                }
                let text = std::fs::read(path).map_err(|error| CniFailure::of_file("read", path, &error))?;
                let value: Value = serde_json::from_slice(&text).map_err(|error| {
                    CniFailure::new(FailureCode::Decoding, format!("{}: {error}", path.display()))
                })?;
                read(&ConfigKeys::of_entry(path.display().to_string(), &value)?)?
            }
            Some(value) => read(&ConfigKeys::of_entry(KEY.to_owned(), value)?)?,
        };
        compile(&rules)?;
        Ok(Some(Self { rules }))
    }

    /// Adds the subnets of the container's own addresses, which are allowed unless a rule names one of them.
    fn with_subnets(&self, subnets: &BTreeSet<(IpAddr, u8)>) -> EgressRules {
        let allow = |&(address, prefix): &(IpAddr, u8)| {
            EgressRule::allow(match address {
                IpAddr::V4(address) => EgressPrefix::v4(address, prefix),
                IpAddr::V6(address) => EgressPrefix::new(address, prefix),
            })
        };
        self.rules.clone().with_all(subnets.iter().map(allow))
    }

    /// Gives a port its network's policy. If the configuration has a different one than for the last container, the policy is
    /// replaced for all ports of the network that have the same subnets.
    pub(super) fn give(
        &self,
        held: &mut HeldMonitor,
        (bridge, network): (&str, &str),
        (slot, mode): (Slot, Mode),
        result: &AttachmentResult,
    ) -> Outcome<()> {
        let subnets = subnets(result);
        let rules = self.with_subnets(&subnets);
        let digest = digest(&compile(&rules)?);
        let owner = PolicyOwner { program: held.program_ids()[0], network, subnets: words(&subnets) };
        let mut record = attachments::begin_bridge(bridge)?;
        let known = record.lines().iter().rev().find(|line| owner.has(line));
        let place = match known {
            Some(line) => line.parse(1),
            None => free_place(held, owner.program, record.lines())?,
        };
        let Some(place) = place else {
            let why = format!("{bridge} has {} egress policies, each in use", held.egress_limit());
            return Err(CniFailure::new(FailureCode::Unavailable, why));
        };
        let policy = EgressPolicy::new(place);
        if known.and_then(|line| line.parse(4)) != Some(digest) {
            // Lines about programs that are gone, and about this place, are removed.
            let stays = |line: &&Line| {
                line.key() != POLICY || line.parse(0) == Some(owner.program) && line.parse(1) != Some(place)
            };
            let mut lines: Vec<Line> = record.lines().iter().filter(stays).cloned().collect();
            lines.push(owner.line(place, UNFINISHED));
            record.replace(lines)?;
            held.install_egress(policy, &rules).map_err(|error| held::failed(&error))?;
            record.append(&[owner.line(place, digest)])?;
        }
        held.set_egress(slot, Some((policy, mode))).map_err(|error| held::failed(&error))
    }

    /// Whether a port has this policy, and the kernel has it completely.
    pub(super) fn is_given(
        &self,
        held: &HeldMonitor,
        slot: Slot,
        mode: Mode,
        result: &AttachmentResult,
    ) -> Outcome<bool> {
        let given = held.egress_of(slot).map_err(|error| held::failed(&error))?;
        let Some((policy, _)) = given.filter(|given| given.1 == mode) else { return Ok(false) };
        let table = held.egress_table(policy).map_err(|error| held::failed(&error))?;
        Ok(table == compile(&self.with_subnets(&subnets(result)))?)
    }
}

/// Whose policy it is.
struct PolicyOwner<'a> {
    /// The program's id, which no later program has.
    program: u32,
    network: &'a str,
    subnets: String,
}

impl PolicyOwner<'_> {
    fn has(&self, line: &Line) -> bool {
        line.key() == POLICY
            && line.parse(0) == Some(self.program)
            && line.text(2) == Some(self.network)
            && line.text(3) == Some(&self.subnets)
    }

    fn line(&self, place: u16, digest: u64) -> Line {
        Line::new(POLICY).with(self.program).with(place).with(self.network).with(&self.subnets).with(digest)
    }
}

/// A place that no network has, or whose network has no ports left.
fn free_place(held: &HeldMonitor, program: u32, lines: &[Line]) -> Outcome<Option<u16>> {
    let of_program = lines.iter().filter(|line| line.key() == POLICY && line.parse(0) == Some(program));
    let taken: BTreeSet<u16> = of_program.filter_map(|line| line.parse(1)).collect();
    let places = 1..=held.egress_limit();
    if let Some(place) = places.clone().find(|place| !taken.contains(place)) {
        return Ok(Some(place));
    }
    let mut used = BTreeSet::new();
    for (slot, _) in held.ports() {
        let egress = held.egress_of(slot).map_err(|error| held::failed(&error))?;
        used.extend(egress.map(|(policy, _)| policy.get()));
    }
    Ok(places.into_iter().find(|place| !used.contains(place)))
}

fn read(keys: &ConfigKeys<'_>) -> Outcome<EgressRules> {
    let invalid = |key: String, why: String| {
        CniFailure::new(FailureCode::InvalidConfig, format!("{}: {why}", keys.path(&key)))
    };
    let mut rules = EgressRules::new();
    match keys.text("others")? {
        None | Some("allow") => {}
        Some("deny") => rules = rules.refusing_others(),
        Some(other) => return Err(wrong(&keys.path("others"), &other.into(), "\"allow\" or \"deny\"")),
    }
    for (number, text) in keys.texts("without")?.iter().enumerate() {
        let list = text.parse();
        rules = rules.without(
            list.map_err(|none: NoEgressList| invalid(format!("without[{number}]"), none.to_string()))?,
        );
    }
    for (number, text) in keys.texts("rules")?.iter().enumerate() {
        let rule = text.parse();
        rules = rules
            .with(rule.map_err(|none: NoEgressRule| invalid(format!("rules[{number}]"), none.to_string()))?);
    }
    // A misspelt key would allow or refuse something else.
    if let Some(key) = keys.names().find(|name| !["others", "without", "rules"].contains(name)) {
        return Err(invalid(key.to_owned(), "expected one of others, without, rules".to_owned()));
    }
    Ok(rules)
}

fn compile(rules: &EgressRules) -> Outcome<EgressTable> {
    rules.compile().map_err(|prefix| {
        let why = format!("egress says more than four things of {prefix}, those of wider networks included");
        CniFailure::new(FailureCode::InvalidConfig, why)
    })
}

fn subnets(result: &AttachmentResult) -> BTreeSet<(IpAddr, u8)> {
    result.ips.iter().map(|ip| (ip.address.network().address(), ip.address.prefix())).collect()
}

fn words(subnets: &BTreeSet<(IpAddr, u8)>) -> String {
    let words: Vec<String> = subnets.iter().map(|(address, prefix)| format!("{address}/{prefix}")).collect();
    words.join(",")
}

/// The same number for the same policy. A plugin built by another compiler may compute a different one; then the policy is
/// written once more.
fn digest(table: &EgressTable) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (prefix, entry) in table.entries() {
        let key = prefix.key();
        (key.bits, key.address, entry.to_words()).hash(&mut hasher);
    }
    hasher.finish().max(UNFINISHED + 1)
}
